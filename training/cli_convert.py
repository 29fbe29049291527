"""The verb that turns published checkpoints into models.

python -m training convert NETWORK --checkpoint FILE --labels FILE -o MODEL.onnx
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from engine.labels import read_labels
from training.cli_parser import PROG, Parser, exit_code

if TYPE_CHECKING:
    from collections.abc import Sequence


def parser() -> Parser:
    """Return the parser of ``convert``."""
    made = Parser(
        prog=f"{PROG} convert",
        description="Write a published checkpoint as a model with a card.",
        epilog="Steps for each network: docs/adopting-models.md.",
        allow_abbrev=False,
    )
    made.add_argument("network", choices=["ast", "beats", "cnn14", "yamnet"])
    made.add_argument("--checkpoint", type=Path, required=True, metavar="PATH", help="as its publisher gives it")
    made.add_argument("--labels", metavar="FILE", help="CSV with a column display_name or label, or one label per line")
    made.add_argument("-o", "--output", type=Path, required=True, metavar="MODEL.onnx")
    made.add_argument("--score", choices=["sigmoid", "softmax"], default="sigmoid", help="default: sigmoid")
    made.add_argument("--overwrite", action="store_true", help="replace the output file")
    for name in ("training-data", "licence", "attribution"):
        made.add_argument(f"--{name}", default="unknown", metavar="TEXT", help="for the card")
    return made


def main(arguments: Sequence[str]) -> int:
    """Convert; 0 done, 1 failed, 2 wrong usage."""
    options = vars(parser().parse_args(arguments))
    network, labels = options.pop("network"), options.pop("labels")
    # Torch, transformers and the exporter take seconds to import: only for those who convert.
    from training.convert import convert

    def work() -> None:
        card = convert(network, **options, labels=() if labels is None else read_labels(labels))
        print(f"{options['output']}: {len(card.labels)} labels, windows of {card.window / (card.sample_rate or 1):g} s")

    return exit_code(work, "convert")
