"""The command line of the recipes and of the conversion of published checkpoints.

python -m training RECIPE --data DIR --run DIR [--field=value ...]
python -m training convert NETWORK --checkpoint FILE --labels FILE -o MODEL.onnx
python -m training data list|check NAME --root DIR
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from engine.errors import ConfigError, EngineError
from engine.labels import read_labels
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
    made.epilog = (
        "Fields and examples of a recipe: the head of training/recipes/RECIPE.py. "
        "Published checkpoints to models: python -m training convert --help."
    )
    made.add_argument("recipe", choices=names)
    made.add_argument("--data", type=Path, required=True, metavar="DIR", help="the data set's folder")
    made.add_argument("--run", type=Path, required=True, metavar="DIR", help="new, or of a run to go on with")
    return made


def convert_parser() -> Parser:
    """Return the parser of ``convert``."""
    made = Parser(
        prog="python -m training convert",
        description="Write a published checkpoint as a model with a card.",
        epilog="Steps for each network: docs/adopting-models.md.",
        allow_abbrev=False,
    )
    made.add_argument("network", choices=["ast", "cnn14", "yamnet"])
    made.add_argument("--checkpoint", type=Path, required=True, metavar="PATH", help="as its publisher gives it")
    made.add_argument("--labels", metavar="FILE", help="CSV with a column display_name or label, or one label per line")
    made.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL.onnx")
    made.add_argument("--score", choices=["sigmoid", "softmax"], default="sigmoid", help="default: sigmoid")
    made.add_argument("--overwrite", action="store_true", help="replace the output file")
    for name in ("training-data", "licence", "attribution"):
        made.add_argument(f"--{name}", default="unknown", metavar="TEXT", help="for the card")
    return made


def convert_checkpoint(arguments: Sequence[str]) -> int:
    """Convert; 0 done, 1 failed, 2 wrong usage."""
    options = vars(convert_parser().parse_args(arguments))
    network, labels = options.pop("network"), options.pop("labels")
    # Torch, transformers and the exporter take seconds to import: only for those who convert.
    from training.convert import convert

    try:
        card = convert(network, **options, labels=() if labels is None else read_labels(labels))
    except EngineError as error:
        print(f"python -m training convert: {error}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    print(f"{options['output']}: {len(card.labels)} labels, windows of {card.window / (card.sample_rate or 1):g} s")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a recipe or convert; 0 done, 1 failed, 2 wrong usage, 130 interrupted (the same command goes on)."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["convert"]:
        return convert_checkpoint(arguments[1:])
    if arguments[:1] == ["data"]:
        return importlib.import_module("training.cli_data").main(arguments[1:])
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
