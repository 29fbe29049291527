"""The models of a finished run measured for their page: ``python -m training keywords examine RUN``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from engine import Tagger
from training.config import from_values
from training.examine.outside import sounds_outside
from training.recipes.keywords import SILENCE, UNKNOWN, Config, load
from training.run import read_config
from training.taggers import examination
from training.taggers.examples import front_end

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str]) -> int:
    """Measure, keep the figures in the run's folder, print the tables, and write them into the page; 0 done."""
    parser = argparse.ArgumentParser(prog="python -m training keywords", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    asked = verbs.add_parser("examine", help="measure the models of a finished run")
    asked.add_argument("run", type=Path, help="its folder")
    asked.add_argument("--page", type=Path, help="Markdown with the comments of training/examine/page.py")
    options = parser.parse_args(arguments)
    stored = read_config(options.run)
    config = from_values(Config, {name: value for name, value in stored.items() if name not in ("recipe", "data")})
    data = Path(stored["data"])
    corpus = load(data, front_end(config), options.run)
    found = examination.examine(
        options.run,
        corpus,
        "keywords",
        sounds_outside(config.outside),
        excerpts_s=(0.5,),
        seconds=1.0,
        calibration=data,
        harmless=(SILENCE, UNKNOWN),
    )
    examination.keep(options.run, found)
    with Tagger(options.run / "keywords.onnx", device="cpu", threads=1) as tagger:
        tables = examination.tables(options.run, found, tagger.card.thresholds)
    if options.page is not None:
        examination.write(options.page, tables)
    print("\n\n".join(f"{name}\n\n{table}" for name, table in tables.items()))
    return 0
