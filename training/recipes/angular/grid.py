"""The cells of the report on the angular losses.

    python -m training angular run --data esc10=DIR --data keywords=DIR --cells runs/angular --grid reduced
    python -m training angular run --data esc10=DIR --data keywords=DIR --data fsdd=DIR --cells runs/angular
    python -m training angular run --data esc10=DIR --cells runs/angular --grid ablation
    python -m training angular run --data esc50=DIR --cells runs/ast --grid published --encoder ast --checkpoint FOLDER
    python -m training angular report --cells runs/angular -o docs/papers/angular.png

A cell is one corpus, one loss and one seed, all folds in one run directory; finished ones are left alone and an
interrupted one goes on. ``reduced`` is a part of ``full``. ``transformers`` proves the path of AST and BEATs on small
networks with random weights, no more; ``published`` is the paper's own settings, three repetitions of each loss.
``report`` reads whatever is there, and says how many seeds stand behind each figure.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import ConfigError
from training.config import from_values
from training.grid import Cell, run_cells
from training.recipes.angular import figures
from training.recipes.angular.config import CORPORA, Config
from training.recipes.angular.report import plot, tables
from training.recipes.angular.schedules import PUBLISHED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SEEDS = range(5)
REPETITIONS = range(3)
GRIDS = ("reduced", "full", "ablation", "transformers", "published")
_WORDS = {"win_s": 0.025, "hop_s": 0.02, "n_folds": 2, "epochs": 10, "mask_frames": 5, "mask_mels": 4}
# What the small network needs on each corpus for a cell of a minute or so.
SMALL: dict[str, dict[str, Any]] = {
    "esc10": {},
    "esc50": {},
    "keywords": _WORDS,
    "fsdd": _WORDS | {"epochs": 8},
    "iemocap": _WORDS,
}
# The losses of the paper's tables, then the other forms of them.
MAIN: dict[str, dict[str, Any]] = {
    "ce": {},
    "add": {"embedding_loss": "add"},
    "focal": {"objective": "focal"},
    "opl_scaled": {"embedding_loss": "opl_scaled"},
}
FORMS: dict[str, dict[str, Any]] = {
    "opl": {"embedding_loss": "opl"},
    "add_plain": {"embedding_loss": "add_plain"},
    "add_pooled": {"embedding_loss": "add_pooled"},
    "bce": {"objective": "bce"},
}
_MIX = {"mixup": 0.5, "objective": "bce"}
MIXED: dict[str, dict[str, Any]] = {
    "mixup_bce": _MIX,
    "mixup_add": _MIX | {"embedding_loss": "add"},
    "mixup_add_pooled": _MIX | {"embedding_loss": "add_pooled"},
}
# Of the four terms, as the paper's table; all four are the loss "add".
ABLATION: dict[str, dict[str, Any]] = {
    f"add_{''.join(str(int(value)) for value in lambdas)}": {"embedding_loss": "add", "lambdas": lambdas}
    for lambdas in (
        (1.0, 0.0, 0.0, 0.0),
        (0.0, 1.0, 0.0, 0.0),
        (0.0, 0.0, 1.0, 0.0),
        (0.0, 0.0, 0.0, 1.0),
        (1.0, 0.0, 1.0, 0.0),
    )
}


def cells(
    grid: str, corpora: Sequence[str], encoder: str = "ast", checkpoint: str = ""
) -> Iterator[tuple[str, Config]]:
    """Yield name and configuration of each cell, those that say most first.

    Parameters
    ----------
    grid : str
        One of ``GRIDS``.
    corpora : sequence of str
    encoder, checkpoint : str
        Of the published settings.
    """
    if grid == "transformers":
        for corpus in corpora:
            for name in ("ast", "beats"):
                # Two layers of one head, two epochs: nothing can be learnt.
                small = Config(corpus=corpus, encoder=name, layers=2, width=64, epochs=2, embedding_loss="add")
                yield f"{corpus}_{name}_add_0", replace(small, learning_rate=1e-4)
        return
    if grid == "published":
        for seed in REPETITIONS:
            for corpus in corpora:
                yield from _published(corpus, encoder, checkpoint, seed)
        return
    for seed in SEEDS if grid != "reduced" else SEEDS[:2]:
        for corpus in corpora:
            losses = ABLATION if grid == "ablation" else MAIN
            yield from (_small(corpus, loss, changes, seed) for loss, changes in losses.items())
    if grid == "full":
        for seed in SEEDS:
            for corpus in corpora:
                others = FORMS | MIXED if corpus == "keywords" else FORMS
                yield from (_small(corpus, loss, changes, seed) for loss, changes in others.items())


def _small(corpus: str, loss: str, changes: Mapping[str, Any], seed: int) -> tuple[str, Config]:
    return f"{corpus}_residual_{loss}_{seed}", replace(Config(corpus=corpus, seed=seed), **SMALL[corpus], **changes)


def _published(corpus: str, encoder: str, checkpoint: str, seed: int) -> Iterator[tuple[str, Config]]:
    settings = PUBLISHED.get((encoder, corpus))
    if settings is None:
        raise ConfigError(
            f"expected one of {sorted(PUBLISHED)}, for which there are published settings, got {(encoder, corpus)}; "
            "name another corpus or encoder"
        )
    base = Config(corpus=corpus, encoder=encoder, checkpoint=checkpoint, seed=seed, checkpoint_every=1)
    # Mixed labels have neither focal loss nor orthogonal projection; nor has the paper's table there.
    losses = {"ce": {}, "add": MAIN["add"]} if settings["mixup"] else MAIN
    for loss, changes in losses.items():
        yield f"{corpus}_{encoder}_{loss}_{seed}", replace(base, **settings | changes)


def run_grid(
    grid: str, data: Mapping[str, Path], folder: Path, encoder: str, checkpoint: str, limit_s: float | None
) -> None:
    """Run the cells that are not finished, one after the other."""
    run_cells(
        folder,
        [Cell(name, asdict(config)) for name, config in cells(grid, tuple(data), encoder, checkpoint)],
        lambda run, values: figures(data[values["corpus"]], run, from_values(Config, values)),
        limit_s=limit_s,
        echo=lambda line: print(line, file=sys.stderr, flush=True),
    )


def _corpus_folder(text: str) -> tuple[str, Path]:
    name, equals, folder = text.partition("=")
    if name not in CORPORA or not equals:
        raise argparse.ArgumentTypeError(f"expected CORPUS=DIR with one of {', '.join(CORPORA)}, got {text!r}")
    return name, Path(folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run cells, or write the tables and the figure of those that are finished; 0 done."""
    parser = argparse.ArgumentParser(
        prog="python -m training angular", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    runs = verbs.add_parser("run", help="train the cells that are not finished")
    runs.add_argument("--data", type=_corpus_folder, action="append", required=True, metavar="CORPUS=DIR")
    runs.add_argument("--grid", choices=GRIDS, default="full")
    runs.add_argument("--encoder", choices=["ast", "beats"], default="ast", help="of the published settings")
    runs.add_argument("--checkpoint", default="", metavar="PATH", help="of the published settings; none is random")
    runs.add_argument("--limit-s", type=float, help="begin no cell after so many seconds")
    report = verbs.add_parser("report", help="tables, and the figure of distances between classes")
    report.add_argument("-o", "--output", type=Path, help="picture, .png; the tables are printed")
    for verb in (runs, report):
        verb.add_argument("--cells", type=Path, required=True, metavar="FOLDER", help="of the runs")
    options = parser.parse_args(arguments)
    if options.verb == "run":
        chosen = dict(options.data)
        run_grid(options.grid, chosen, options.cells, options.encoder, options.checkpoint, options.limit_s)
    else:
        print(tables(options.cells))
        if options.output:
            plot(options.cells, options.output)
    return 0
