"""The verbs that train.

python -m training list
python -m training run RECIPE --data DIR --run DIR [--field=value ...]
python -m training resume RUN
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import pkgutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError, EngineError
from training import recipes
from training.cli_parser import PROG, Parser
from training.config import from_values, parse_fields
from training.progress import shown_on
from training.run import Run, alone, read_config

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import ModuleType

    # A recipe's ``train``, its configuration, the data's folder, and the values that decide the result.
    Asked = tuple[Callable[[Path, Run, Any], object], Any, Path, Mapping[str, Any]]


def names() -> list[str]:
    """Return the names of the recipes."""
    return [module.name for module in pkgutil.iter_modules(recipes.__path__)]


def recipe(name: str) -> ModuleType:
    """Return a recipe's module; ConfigError when there is none of that name."""
    if name not in names():
        raise ConfigError(f"expected one of the recipes {', '.join(names())}, got {name!r}; see {PROG} list")
    return importlib.import_module(f"training.recipes.{name}")


def list_recipes(arguments: Sequence[str]) -> int:
    """Print each recipe with the first line of its docstring."""
    Parser(prog=f"{PROG} list", description="The recipes.", allow_abbrev=False).parse_args(arguments)
    width = max(map(len, names()))
    for name in names():
        # Read, not imported: a recipe imports torch, which takes seconds.
        file, package = (Path(recipes.__path__[0]) / part for part in (f"{name}.py", f"{name}/__init__.py"))
        source = (file if file.exists() else package).read_text(encoding="utf-8")
        first = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
        print(f"{name:<{width}}  {first}")
    return 0


def run_parser() -> Parser:
    """Return the parser of ``run`` but for the recipe's own fields."""
    made = Parser(prog=f"{PROG} run", description="Train, export and score a model.", allow_abbrev=False)
    made.epilog = "Fields and examples of a recipe, written --field=value: the head of training/recipes/RECIPE.py."
    made.add_argument("recipe", choices=names())
    made.add_argument("--data", "--root", type=Path, required=True, metavar="DIR", help="the data set's folder")
    made.add_argument("--run", type=Path, required=True, metavar="DIR", help="new, or of a run to go on with")
    return made


def run(arguments: Sequence[str]) -> int:
    """Run a recipe; 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    options, rest = run_parser().parse_known_args(arguments)

    def asked() -> Asked:
        module = recipe(options.recipe)
        config = parse_fields(module.Config, rest)
        values = {"recipe": options.recipe, "data": str(options.data.resolve())} | asdict(config)
        return module.train, config, options.data, values

    return train_in(options.run, asked, "run")


def resume(arguments: Sequence[str]) -> int:
    """Go on with an interrupted run; 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    made = Parser(prog=f"{PROG} resume", description="Go on with an interrupted run.", allow_abbrev=False)
    made.add_argument("run", type=Path, metavar="RUN", help="its folder")
    options = made.parse_args(arguments)

    def asked() -> Asked:
        values = read_config(options.run)
        if not {"recipe", "data"} <= values.keys():
            raise ConfigError(
                f"expected a run of one recipe, got {options.run} with {sorted(values)}; "
                "go on with a grid by the command that began it"
            )
        module = recipe(values["recipe"])
        fields = {name: value for name, value in values.items() if name not in ("recipe", "data")}
        return module.train, from_values(module.Config, fields), Path(values["data"]), values

    return train_in(options.run, asked, "resume")


def train_in(folder: Path, asked: Callable[[], Asked], verb: str) -> int:
    """Train what was asked for in a run's folder, saying in one sentence what is wrong.

    Parameters
    ----------
    folder : Path
    asked : callable
        Its ConfigError is wrong usage.
    verb : str
        What messages begin with.

    Returns
    -------
    int
        0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    shown = shown_on(sys.stderr)
    with contextlib.ExitStack() as held:
        try:
            train, config, data, values = asked()
            held.enter_context(alone(folder))
            run = Run(folder, values, echo=shown.echo, bar=shown.bar)
        except ConfigError as error:
            print(f"{PROG} {verb}: {error}", file=sys.stderr)
            return 2
        try:
            train(data, run, config)
        except EngineError as error:
            print(f"{PROG} {verb}: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print(
                f"{PROG} {verb}: interrupted; {PROG} resume {folder} goes on from the last checkpoint", file=sys.stderr
            )
            return 130
    return 0
