"""The command line of the recipes: ``python -m training RECIPE --data DIR --run DIR [--field=value ...]``."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from engine.errors import ConfigError, EngineError
from training import recipes
from training.config import parse_fields
from training.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence


class Parser(argparse.ArgumentParser):
    """An argument parser whose complaints are one sentence."""

    def error(self, message: str) -> NoReturn:
        """Exit 2 with the message."""
        self.exit(2, f"{self.prog}: {message}; see --help\n")


def parser() -> Parser:
    """Return the parser of everything but the recipe's own fields."""
    names = [module.name for module in pkgutil.iter_modules(recipes.__path__)]
    made = Parser(prog="python -m training", description="Train, export and score a model.", allow_abbrev=False)
    made.epilog = "Fields and examples of a recipe: the head of training/recipes/RECIPE.py."
    made.add_argument("recipe", choices=names)
    made.add_argument("--data", type=Path, required=True, metavar="DIR", help="the data set's folder")
    made.add_argument("--run", type=Path, required=True, metavar="DIR", help="new, or of a run to go on with")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a recipe; 0 done, 1 failed, 2 wrong usage, 130 interrupted (the same command goes on)."""
    options, rest = parser().parse_known_args(arguments)
    recipe = importlib.import_module(f"training.recipes.{options.recipe}")
    try:
        config = parse_fields(recipe.Config, rest)
        asked = {"recipe": options.recipe, "data": str(options.data.resolve())} | asdict(config)
        run = Run(options.run, asked, echo=lambda line: print(line, file=sys.stderr, flush=True))
    except ConfigError as error:
        print(f"python -m training: {error}", file=sys.stderr)
        return 2
    try:
        recipe.train(options.data, run, config)
    except EngineError as error:
        print(f"python -m training: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("python -m training: interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
