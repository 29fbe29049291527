"""The verbs about what came out.

python -m training evaluate MODEL_OR_RUN --dataset NAME --data DIR [--split NAME] [--fold N] [-o FILE.json]
python -m training report RUN_OR_GRID ... [--metric NAME ...] [--json]
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import ConfigError
from training.cli_parser import PROG, Parser, exit_code
from training.datasets.catalogue import CATALOGUE

if TYPE_CHECKING:
    from collections.abc import Sequence


def evaluate_parser() -> Parser:
    """Return the parser of ``evaluate``."""
    made = Parser(prog=f"{PROG} evaluate", description="Score a model through the engine.", allow_abbrev=False)
    made.add_argument("model", type=Path, metavar="MODEL_OR_RUN", help="an .onnx file, or the folder of a run")
    made.add_argument("--dataset", required=True, choices=sorted(CATALOGUE), metavar="NAME", help="see data list")
    made.add_argument("--data", "--root", type=Path, required=True, metavar="DIR", help="the data set's folder")
    made.add_argument("--split", metavar="NAME", help="default: all that is there")
    made.add_argument("--fold", type=int, metavar="N")
    made.add_argument("-o", "--output", type=Path, metavar="FILE.json", help="write the figures there too")
    made.add_argument("--overwrite", action="store_true", help="replace the output file")
    return made


def evaluate(arguments: Sequence[str]) -> int:
    """Score and print the figures as JSON; 0 done, 1 failed, 2 wrong usage."""
    options = evaluate_parser().parse_args(arguments)
    from training.evaluate import evaluate_data_set  # onnxruntime: only for those who score

    def work() -> None:
        model, output = model_of(options.model), options.output
        if output is None and options.model.is_dir():
            parts = [options.dataset, options.split, None if options.fold is None else f"fold{options.fold}"]
            output = options.model / f"evaluation-{'-'.join(part for part in parts if part)}.json"
        if output is not None and output.exists() and not options.overwrite:
            raise ConfigError(f"expected a new file, got {output} that exists; choose another or say --overwrite")
        data = CATALOGUE[options.dataset].load(options.data)
        if options.split is not None or options.fold is not None:
            data = data.select(split=options.split, fold=options.fold)
        asked = {"model": model.name, "dataset": data.name, "split": options.split, "fold": options.fold}
        text = json.dumps(asked | evaluate_data_set(model, data), indent=2)
        if output is not None:
            output.write_text(text + "\n")
        print(text)

    return exit_code(work, "evaluate")


def model_of(path: Path) -> Path:
    """Return the model itself, or the one that a run exported: RECIPE.onnx, or the only one in its folder."""
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.onnx"))
    if (path / "config.json").exists():
        named = path / f"{json.loads((path / 'config.json').read_text()).get('recipe')}.onnx"
        found = [named] if named in found else found
    if len(found) != 1:
        raise ConfigError(f"expected one model in {path}, got {[file.name for file in found]}; name the .onnx file")
    return found[0]


def report(arguments: Sequence[str]) -> int:
    """Print figures over seeds; 0 done, 2 wrong usage."""
    made = Parser(prog=f"{PROG} report", description="Figures of runs over their seeds.", allow_abbrev=False)
    made.add_argument("runs", type=Path, nargs="+", metavar="RUN_OR_GRID", help="folders of runs, or of many runs")
    made.add_argument("--metric", action="append", default=[], metavar="NAME", help="show only this one; repeatable")
    made.add_argument("--json", action="store_true", help="all figures as JSON")
    options = made.parse_args(arguments)
    from training import report as reports

    def work() -> None:
        found = reports.report(options.runs)
        if options.json:
            print(json.dumps(found.to_dict(), indent=2))
            return
        print(found.to_text(options.metric))
        if found.unfinished:
            print(f"not finished: {', '.join(found.unfinished)}")

    return exit_code(work, "report")
