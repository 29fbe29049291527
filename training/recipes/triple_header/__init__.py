"""Paper 4: imbalanced events by triple-header cross entropy with spherical clusters (ICASSP 2019).

Large classes are split into clusters about as large as the smallest class. Stage one learns an embedding in which a
clip lies near its own cluster, farther from the other clusters of its class, farthest from those of other classes
(Algorithm 1). Stage two puts a detector on it: one that only learns the new layer ("Proposed1"), then everything end to
end ("Proposed2"). The baseline is the same network trained on the class-weighted cross entropy from scratch.

    python -m training run triple_header --data DIR --run runs/lstm-0
    python -m training run triple_header --data DIR --run runs/base-0 --embedding=none
    python -m training run triple_header --data DIR --run runs/cnn-1 --encoder=cnn --ratio=2,2,1,26 --seed=1

DIR is the data set of ``--corpus``: Speech Commands (``keywords``), ESC-10 (``esc10``), or AudioSet lists beside a
folder of local clips (``audioset``). The run writes ``metrics.json`` (EER of each event, DET points, all through
``engine.Tagger`` on the test part) and one model per detector; interrupted, the same command goes on.

The grid of the report and its tables: ``python -m training triple_header --help``; figure 1:
``python -m training.recipes.triple_header.toy``. Expected numbers: docs/papers/triple_header.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engine import LogMel, Tagger
from engine.card import ModelCard, ModelInput, ModelOutput, ModelOutputs
from engine.frontend import FrontendConfig
from training.cluster_stage import learn_embedding
from training.datasets.imbalanced import EventClip, EventSet, load_events
from training.export import export
from training.metrics import (
    det_curve,
    equal_error_rates,
    equal_error_threshold,
    threshold_at_false_alarms,
)
from training.networks.event_encoders import ClusterHead, CnnEncoder, Detector, LstmEncoder
from training.recipes.triple_header.config import Config
from training.recipes.triple_header.detector import Part, train_detector
from training.run import Run, commit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

__all__ = ["Config", "command", "figures", "train"]


def command(arguments: Sequence[str]) -> int:
    """Run the cells of the report, or print their tables: ``python -m training triple_header run|report``."""
    from training.recipes.triple_header.grid import main

    return main(arguments)


def train(data: Path, run: Run, config: Config) -> None:
    """Learn the embedding, train the detectors, export and score each, write the figures into ``run``."""
    run.finish(figures(data, run, config))


def figures(data: Path, run: Run, config: Config) -> dict[str, Any]:
    """Return what ``train`` writes: for each detector EER and DET of the events, and thresholds."""
    torch.set_num_threads(config.threads)
    events = load_events(data, config)
    frontend, parts = features(events, config)
    state = run.load() or {"done": {}}

    torch.manual_seed(config.seed)
    encoder = make_encoder(config, parts["train"].log_mel.shape[1])
    if config.embedding == "none":
        detectors = [("baseline", Detector(encoder, None, len(events.labels)))]
    else:
        head = stage_one(encoder, parts["train"], config, run, state)
        detector = Detector(encoder, head, len(events.labels))
        detectors = [("proposed1", detector), ("proposed2", detector)]

    for name, detector in detectors:
        learning: nn.Module = detector.detect if name == "proposed1" else detector
        loss = train_detector(
            detector,
            [learning],
            parts["train"],
            parts["validation"],
            config,
            log=lambda epoch, training, validation, name=name: run.log(  # type: ignore[misc]
                stage=name, epoch=epoch, loss=training, validation=validation
            ),
        )
        scored = export_and_score(
            name, detector, frontend, events, parts["validation"], config=config, folder=run.folder
        )
        run.log(stage=name, validation=loss, eer=scored["eer"], overall=scored["overall"])
        state = {**state, "done": state["done"] | {name: scored}}
    return dict(state["done"])


def features(events: EventSet, config: Config) -> tuple[FrontendConfig, dict[str, Part]]:
    """Return the front end, with each band's mean and deviation over the training part, and the parts' log-mel."""
    win_length = round(config.win_s * config.sample_rate)
    frontend = FrontendConfig(
        sample_rate=config.sample_rate,
        win_length=win_length,
        hop_length=round(config.hop_s * config.sample_rate),
        n_fft=1 << (win_length - 1).bit_length(),
        n_mels=config.n_mels,
        log_floor=1e-10,
    )
    log_mel = LogMel(frontend)
    made = {
        part: np.stack([log_mel(clip.waveform(config.sample_rate, events.seconds)) for clip in clips])
        for part, clips in events.parts.items()
    }
    bands = made["train"].reshape(-1, config.n_mels).astype(np.float64)
    mean, std = bands.mean(axis=0).round(4), np.maximum(bands.std(axis=0), 1e-3).round(4)
    parts = {
        part: Part(
            torch.from_numpy(((values - mean) / std).astype(np.float32)),
            torch.tensor([clip.event for clip in events.parts[part]]),
            len(events.labels),
        )
        for part, values in made.items()
    }
    return replace(frontend, mean=tuple(mean.tolist()), std=tuple(std.tolist())), parts


def make_encoder(config: Config, n_frames: int) -> LstmEncoder | CnnEncoder:
    """Return the encoder with random weights."""
    if config.encoder == "lstm":
        return LstmEncoder(config.n_mels, config.size, precision=config.precision)
    pools = config.pool_frames or (5, n_frames // 5 // 2)
    return CnnEncoder(
        n_frames, config.n_mels, config.channels, pools, dropout=config.dropout, precision=config.precision
    )


def stage_one(
    encoder: LstmEncoder | CnnEncoder, training: Part, config: Config, run: Run, state: dict[str, Any]
) -> ClusterHead:
    """Learn the embedding, or go on with it; a checkpoint after each clustering."""

    def after(reached: dict[str, Any], loss: float) -> None:
        run.log(stage="embedding", iteration=reached["iterations"], clusters=len(reached["columns"]), loss=loss)
        state["embedding"] = reached
        run.save(state)

    return learn_embedding(
        encoder,
        training.log_mel,
        training.classes,
        config,
        config.seed,
        state=state.get("embedding"),
        after=after,
    )


def export_and_score(
    name: str,
    detector: Detector,
    frontend: FrontendConfig,
    events: EventSet,
    validation: Part,
    *,
    config: Config,
    folder: Path,
) -> dict[str, Any]:
    """Export a detector with its thresholds, score the test part through the engine, return the figures."""
    with torch.no_grad():
        logits = torch.cat([detector(part)[0] for part in validation.log_mel.split(256)])
    chosen = choose_thresholds(logits.sigmoid().numpy(), validation.classes.numpy(), events.labels, config.false_alarms)
    card = describe(name, frontend, events, config, detector.encoder.embedding_size, chosen)
    path = folder / f"{name}.onnx"
    fixed = isinstance(detector.encoder, CnnEncoder)
    export(detector, card, path, shortest=None if fixed else 1)
    scores, classes = engine_scores(path, events.parts["test"], config.sample_rate, events.seconds)
    np.savez(folder / f"{name}-test.npz", scores=scores, classes=classes)
    heard = classes[:, None] == np.arange(len(events.labels))
    overall, rates = equal_error_rates(scores, heard)
    curves = {
        label: [rate.tolist() for rate in det_curve(scores[:, event], heard[:, event])]
        for event, label in enumerate(events.labels)
    }
    eer = dict(zip(events.labels, rates.tolist(), strict=True))
    return {"eer": eer, "overall": overall, "det": curves, "thresholds": chosen}


def engine_scores(
    model: Path, clips: tuple[EventClip, ...], sample_rate: int, seconds: float
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return scores (n_clips, n_events) from ``engine.Tagger``, one CPU thread, and the event of each clip."""
    with Tagger(model, device="cpu", threads=1) as tagger:
        scores = np.stack([tagger((clip.waveform(sample_rate, seconds), sample_rate)).scores for clip in clips])
    return scores, np.array([clip.event for clip in clips])


def choose_thresholds(
    scores: NDArray[np.float32], classes: NDArray[np.int64], labels: tuple[str, ...], false_alarms: float
) -> dict[str, dict[str, float]]:
    """Return each event's threshold of equal error, and the one with a given rate of false alarms, on validation."""
    equal, rate = {}, {}
    for event, label in enumerate(labels):
        equal[label] = round(equal_error_threshold(scores[:, event], classes == event), 6)
        rate[label] = round(threshold_at_false_alarms(scores[:, event], classes == event, false_alarms), 6)
    return {"equal_error": equal, "false_alarms": rate}


def describe(
    name: str,
    frontend: FrontendConfig,
    events: EventSet,
    config: Config,
    embedding_size: int,
    chosen: dict[str, dict[str, float]],
) -> ModelCard:
    """Return the card of a detector."""
    window = round(events.seconds * config.sample_rate)
    return ModelCard(
        name=f"{config.corpus}-{config.encoder}-{name}",
        task="tag",
        labels=events.labels,
        score="sigmoid",
        frontend=frontend,
        input=ModelInput("log_mel", "log_mel", ("batch", "time", "mel")),
        outputs=ModelOutputs(
            scores=ModelOutput("scores", ("batch", "label")), embedding=ModelOutput("embedding", ("batch", "feature"))
        ),
        window=window,
        hop=window,
        pad="zeros",
        reduce="max",
        embedding_size=embedding_size,
        embedding_normalised=True,
        thresholds=chosen["equal_error"],
        threshold_method="equal rates of misses and false alarms on the validation part",
        training_data=events.description,
        licence=events.licence,
        attribution=events.attribution,
        commit=commit(),
        metrics={"thresholds_at_false_alarms": {"rate": config.false_alarms, **chosen["false_alarms"]}},
    )
