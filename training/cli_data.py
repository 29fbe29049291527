"""The verbs about data sets.

python -m training data list
python -m training data check NAME --root DIR
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import ConfigError
from training.cli_parser import Parser
from training.datasets.catalogue import CATALOGUE
from training.datasets.check import check

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from training.datasets.check import Report

PROG = "python -m training data"


def parser() -> Parser:
    """Return the parser of both verbs."""
    made = Parser(prog=PROG, description="Data sets: which ones load, and what of one is there.", allow_abbrev=False)
    verbs = made.add_subparsers(dest="verb", required=True)
    verbs.add_parser("list", help="names, licences and where to get them", allow_abbrev=False)
    verb = verbs.add_parser(
        "check",
        help="tell what of a download is there, absent or damaged",
        epilog="Exit codes: 0 all there and sound, 1 nothing loads, 2 wrong usage, 3 some absent, damaged or unknown.",
        allow_abbrev=False,
    )
    verb.add_argument("name", metavar="NAME", choices=sorted(CATALOGUE), help=", ".join(sorted(CATALOGUE)))
    verb.add_argument("--root", type=Path, required=True, metavar="DIR", help="the data set's folder")
    verb.add_argument("--show", type=int, default=5, metavar="N", help="files to name of each kind; default: 5")
    return made


def main(arguments: Sequence[str]) -> int:
    """List or check; 0 all there and sound, 1 nothing loads, 2 wrong usage, 3 some absent, damaged or unknown."""
    options = parser().parse_args(arguments)
    if options.verb == "list":
        width = max(map(len, CATALOGUE))
        for name, entry in CATALOGUE.items():
            print(f"{name:<{width}}  {entry.title}; {entry.licence}; {entry.source}")
        return 0
    if options.show < 0:
        print(f"{PROG} check: expected 0 or more files to name, got {options.show}; change --show", file=sys.stderr)
        return 2
    try:
        report = check(options.name, options.root)
    except ConfigError as error:
        print(f"{PROG} check: {error}", file=sys.stderr)
        return 1
    for line in lines(report, options.show):
        print(line)
    return 0 if report.is_whole else 3


def lines(report: Report, show: int) -> Iterator[str]:
    """Yield what people read of a report, naming at most ``show`` files of each kind."""
    data = report.data
    yield f"{data.name}: {len(data)} recordings, {len(data.labels)} labels"
    for what, got, published in report.counts:
        yield f"  {what:<40} {got:>7} of {published:>7}{'' if got == published else '   differs'}"
    for file, right in report.checksums:
        yield f"  {file}: checksum {'as published' if right else 'differs from the published one'}"
    kinds = {
        "absent, though the metadata lists them": data.missing,
        "damaged": tuple(f"{name}: {obstacle}" for name, obstacle in report.damaged),
        "unknown to the metadata": report.unknown,
        "left out by a rule of the data set": data.dropped,
    }
    for kind, names in kinds.items():
        if names:
            yield f"  {len(names)} {kind}"
            yield from (f"    {name}" for name in names[:show])
            if len(names) > show:
                yield f"    and {len(names) - show} more"
    yield "whole" if report.is_whole else "not whole"
