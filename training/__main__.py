"""The command line of training.

python -m training list
python -m training run RECIPE --data DIR --run DIR [--field=value ...]
python -m training resume RUN
python -m training evaluate MODEL_OR_RUN --dataset NAME --data DIR [--split NAME] [--fold N]
python -m training report RUN_OR_GRID ... [--json]
python -m training data list|check NAME --root DIR
python -m training convert NETWORK --checkpoint FILE --labels FILE -o MODEL.onnx
python -m training embed MODEL INPUT ... -o SEQUENCES.npz
python -m training RECIPE ...    a command of the recipe's own, such as its tables, where it has one
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING

from engine.errors import ConfigError
from training.cli_parser import PROG, Parser

if TYPE_CHECKING:
    from collections.abc import Sequence

# Each verb's module and function, imported when asked for: torch takes seconds.
VERBS = {
    "list": ("training.cli_run", "list_recipes"),
    "run": ("training.cli_run", "run"),
    "resume": ("training.cli_run", "resume"),
    "evaluate": ("training.cli_score", "evaluate"),
    "report": ("training.cli_score", "report"),
    "data": ("training.cli_data", "main"),
    "convert": ("training.cli_convert", "main"),
    "embed": ("training.sequences", "embed"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Do one verb; 0 done, 1 failed, 2 wrong usage, 130 interrupted, and what else the verb says."""
    arguments = sys.argv[1:] if arguments is None else arguments
    made = Parser(prog=PROG, description="Train, export and score models.", allow_abbrev=False)
    made.add_argument("verb", metavar="VERB", help=f"{', '.join(VERBS)}, or a recipe with a command of its own")
    made.epilog = f"{PROG} VERB --help says more."
    verb = made.parse_args(arguments[:1]).verb
    if verb in VERBS:
        module, function = VERBS[verb]
        code: int = getattr(importlib.import_module(module), function)(arguments[1:])
        return code
    try:
        return _own_command(verb, arguments[1:])
    except ConfigError as error:
        print(f"{PROG}: {error}", file=sys.stderr)
        return 2


def _own_command(name: str, arguments: Sequence[str]) -> int:
    from training import cli_run

    if name not in cli_run.names():
        raise ConfigError(f"expected one of {', '.join(VERBS)} or a recipe, got {name!r}; see {PROG} --help")
    command = getattr(cli_run.recipe(name), "command", None)
    if command is None:
        raise ConfigError(f"expected a recipe with a command of its own, got {name}; write {PROG} run {name}")
    code: int = command(arguments)
    return code


def started() -> int:
    """Do one verb; a reader that went away, as head does, ends it without a word."""
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python says so again at its end
        return 0  # it has what it wanted
    return code


if __name__ == "__main__":
    sys.exit(started())
