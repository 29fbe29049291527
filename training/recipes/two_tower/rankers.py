"""The recipe's own command.

    python -m training two_tower --loss triplet|pairwise|infonce|supcon|semi_hard --data DIR --run DIR [--field=value]
    python -m training two_tower run --data DIR --cells FOLDER [--grid reduced]
    python -m training two_tower report --cells FOLDER [-o PICTURE.png]

The first form trains a ranker of any two encoders on queries and references, and writes its figure into its card. Its
fields are those of training/recipes/two_tower/config.py; with ``--loss supcon --n_unheard=10 --name=words-ranker`` and
no other it makes the shipped model. Encoders are names (``--query_encoder=crnn``) or folders of runs to start from.
The other two forms are the paper's trials and the test over them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from training.cli_parser import PROG, Parser
from training.cli_run import train_in
from training.config import parse_fields
from training.recipes.two_tower.config import Config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.cli_run import Asked

LOSSES = ("triplet", "pairwise", "infonce", "supcon", "semi_hard")


@dataclass(frozen=True)
class RankerConfig(Config):
    """The same fields, with the defaults of a ranker for use: the shipped ``words-ranker`` has them."""

    n_classes: int = 0
    targets: str = "any"
    query_encoder: str = "residual"
    reference_encoder: str = "residual"
    head: str = "cosine"
    prepared: bool = True
    augmented: bool = True
    epochs: int = 80
    batch_size: int = 64
    cosine_decay: bool = True
    once: bool = True
    n_judged: int = 10


def main(arguments: Sequence[str]) -> int:
    """Train a ranker, run cells, or write the table of those that are finished; 0 done, 1 failed, 2 wrong usage."""
    if arguments and arguments[0] in ("run", "report"):
        from training.recipes.two_tower import grid

        return grid.main(arguments)
    parser = Parser(prog=f"{PROG} two_tower", description=__doc__, allow_abbrev=False)
    parser.add_argument("--loss", choices=LOSSES, required=True)
    parser.add_argument("--data", "--root", type=Path, required=True, metavar="DIR", help="the corpus")
    parser.add_argument("--run", type=Path, required=True, metavar="DIR", help="new, or of a run to go on with")
    options, rest = parser.parse_known_args(arguments)
    return train_ranker(options.data, options.run, [f"--loss={options.loss}", *rest])


def train_ranker(data: Path, folder: Path, fields: Sequence[str]) -> int:
    """Train a ranker of any two encoders."""
    from training.recipes.two_tower import train

    def asked() -> Asked:
        config = parse_fields(RankerConfig, fields)
        return train, config, data, {"recipe": "two_tower", "data": str(data.resolve())} | asdict(config)

    return train_in(folder, asked, "two_tower")
