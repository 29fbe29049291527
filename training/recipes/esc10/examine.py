"""The models of a finished run measured for their page: ``python -m training esc10 examine RUN --yamnet DIR``."""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from engine import Tagger
from training.config import from_values
from training.examine import yamnet_peer
from training.examine.detection import detection, listen, try_settings
from training.examine.outside import sounds_outside
from training.examine.page import detection_table, labels_table
from training.examine.scenes import make_scene
from training.recipes.esc10 import Config, load
from training.run import read_config
from training.taggers import examination
from training.taggers.cross_validation import first_seed
from training.taggers.examples import front_end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from training.examine.detection import Trials
    from training.taggers.cross_validation import Corpus

OURS, PEERS = "this model", ("YAMNet, its own classes", "YAMNet, linear head")
BACKGROUNDS: tuple[Literal["noise", "rain"], ...] = ("noise", "rain")


def main(arguments: Sequence[str]) -> int:
    """Measure, keep the figures in the run's folder, print the tables, and write them into the page; 0 done."""
    parser = argparse.ArgumentParser(prog="python -m training esc10", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    asked = verbs.add_parser("examine", help="measure the models of a finished run")
    asked.add_argument("run", type=Path, help="its folder")
    asked.add_argument("--yamnet", type=Path, required=True, metavar="DIR", help="YAMNet as published, peer for events")
    asked.add_argument("--page", type=Path, help="Markdown with the comments of training/examine/page.py")
    options = parser.parse_args(arguments)
    stored = read_config(options.run)
    config = from_values(Config, {name: value for name, value in stored.items() if name not in ("recipe", "data")})
    data = Path(stored["data"])
    corpus = load(data, front_end(config), replace(config, other_share=0.0, words_epochs=0), options.run)
    sounds = sounds_outside(config.outside)
    found = examination.examine(
        options.run, corpus, "esc10", sounds, excerpts_s=(1.0, 2.0, 5.0), seconds=5.0, calibration=data
    )
    found["events"] = events(options.run, corpus, options.yamnet)
    examination.keep(options.run, found)
    with Tagger(options.run / "esc10.onnx", device="cpu", threads=1) as tagger:
        tables = examination.tables(options.run, found, tagger.card.thresholds)
    over_noise = {name: found["events"][f"{name}, over noise"] for name in (OURS, *PEERS)}
    tables |= {"events": detection_table(found["events"]), "events-by-label": labels_table(over_noise)}
    if options.page is not None:
        examination.write(options.page, tables)
    print("\n\n".join(f"{name}\n\n{table}" for name, table in tables.items()))
    return 0


def events(run: Path, corpus: Corpus, yamnet: Path) -> dict[str, Any]:
    """Return how well events are found in a scene of each fold, by this run's first seed and by YAMNet.

    Thresholds, gaps and shortest durations are chosen for each of them alike, on the scenes of the other folds.

    Parameters
    ----------
    run : Path
    corpus : Corpus
    yamnet : Path
        Folder of YAMNet as published.
    """
    models = {int(job.split("-fold")[1]): path for job, (path, _, _) in first_seed(run, corpus).items()}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        peer = Path(folder) / "yamnet.onnx"
        yamnet_peer.convert_yamnet(yamnet, peer)
        known = yamnet_peer.examples(peer, corpus.records)
        for background in BACKGROUNDS:
            trials: dict[str, dict[int, Trials]] = {name: {} for name in (OURS, *PEERS)}
            for fold, model in models.items():
                seen, unseen = corpus.rows(fold)
                scene = make_scene([corpus.records[i] for i in unseen], fold, background)
                heard = yamnet_peer.listen(peer, scene)
                head = yamnet_peer.fit_head(known, seen.tolist())
                clips = (listen(model, scene), yamnet_peer.by_classes(heard), head(heard))
                for name, clip in zip(trials, clips, strict=True):
                    trials[name][fold] = try_settings(clip, scene)
            found |= {f"{name}, over {background}": detection(by_fold) for name, by_fold in trials.items()}
    return found
