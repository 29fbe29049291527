"""Paper 1: semi-supervised triplet loss for ambient audio embeddings (Turpault, Serizel, Vincent, ICASSP 2019).

An embedding of 0.96 s segments learns from triplets of labelled and unlabelled clips (strategies S1 to S5); then a
recurrent tagger learns on the frozen embedding from the labelled clips alone. Both leave as one ONNX model.

    python -m training run semi_supervised_triplet --data ESC10 --run runs/s2 --strategy=S2
    python -m training run semi_supervised_triplet --data DCASE --run runs/s3 --corpus=dcase2018 --strategy=S3
    python -m training semi_supervised_triplet --table 2 --root ESC10 --cells runs/triplets [--reduced]
    python -m training semi_supervised_triplet --table 3 --root DCASE --cells runs/dcase --corpus dcase2018

The run writes ``metrics.json`` (macro F1 on the evaluation set, through ``engine.Tagger``) and ``model.onnx``;
interrupted, the same command goes on. Expected numbers: docs/papers/semi_supervised_triplet.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from engine import Tagger
from engine.card import ModelCard, ModelInput, ModelOutput, ModelOutputs
from training.datasets.scenes import SECONDS
from training.export import export
from training.metrics import f1_per_label, macro_f1
from training.networks.segments import ClipTagger, FrameTagger, SegmentCnn
from training.recipes.semi_supervised_triplet.clips import load_clips
from training.recipes.semi_supervised_triplet.config import Config
from training.recipes.semi_supervised_triplet.embedding import learn_clusters, learn_embedding
from training.recipes.semi_supervised_triplet.tagger import train_tagger
from training.recipes.semi_supervised_triplet.triplets import cut
from training.run import commit

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.recipes.semi_supervised_triplet.clips import Clips
    from training.run import Run

__all__ = ["Config", "command", "figures", "train"]


def command(arguments: Sequence[str]) -> int:
    """Run the cells of Table 2 or 3 and print our numbers beside the paper's."""
    from training.recipes.semi_supervised_triplet.grid import main

    return main(arguments)


def train(data: Path, run: Run, config: Config) -> None:
    """Learn the embedding, train the tagger, export both, score them, write the figures into ``run``."""
    run.finish(figures(data, run, config))


def figures(data: Path, run: Run, config: Config) -> dict[str, Any]:
    """Return what ``train`` writes: macro F1 on validation and evaluation, and F1 of each label."""
    torch.set_num_threads(config.threads)
    clips = load_clips(data, config, run.folder.parent / "features")
    torch.manual_seed(config.seed)
    network = SegmentCnn(config.n_mels, config.channels, dropout=config.dropout)
    state = run.load()
    if config.learns_from_triplets:
        segments = cut(clips.mel, clips.targets["labelled"], config, clips.log_mel)

        def after(reached: dict[str, Any], epoch: dict[str, float]) -> None:
            run.log(stage="embedding", epoch=reached["epochs"], **epoch)
            run.save(reached)

        learn_embedding(network, segments, config, state=state, after=after)
    elif config.embedding == "triple_header":
        segments = cut(clips.mel, clips.targets["labelled"], config, clips.log_mel)

        def clustered(reached: dict[str, Any], loss: float) -> None:
            run.log(stage="embedding", clustering=reached["iterations"], loss=loss)
            run.save(reached)

        learn_clusters(network, segments, config, state=state, after=clustered)
    model, validation = tag(network, clips, run, config)
    path = run.folder / "model.onnx"
    export(model, describe(clips, model, config), path, shortest=config.tagger_pool, gives="scores")
    scores, embeddings = engine_outputs(path, clips)
    targets = clips.targets["evaluation"]
    np.savez(run.folder / "evaluation.npz", scores=scores, embeddings=embeddings, targets=targets)
    of_labels = f1_per_label(scores, targets)
    return {
        "macro_f1": macro_f1(scores, targets),
        "validation_f1": validation,
        "f1": dict(zip(clips.labels, of_labels.tolist(), strict=True)),
    }


def tag(network: SegmentCnn, clips: Clips, run: Run, config: Config) -> tuple[ClipTagger, float]:
    """Train the tagger on what the strategy gives it, and return both as one network with the validation F1.

    On a frozen embedding of the whole clip; "log_mel" on log-mel itself; "crnn" trains the CNN as well.
    """
    log_mel = {part: clips.log_mel(clips.mel[part]) for part in ("labelled", "validation")}
    torch.manual_seed(config.seed + 1)
    size = config.n_mels if config.strategy == "log_mel" else network.size
    layers = 1 if config.strategy == "crnn" else config.tagger_layers
    tagger = FrameTagger(size, len(clips.labels), config.units, layers, config.dropout)
    model = ClipTagger(None if config.strategy == "log_mel" else network, tagger, config.tagger_pool)
    frozen = config.strategy != "crnn"
    if frozen:
        network.eval()
        with torch.no_grad():
            frames = {part: torch.cat([model.frames(rows) for rows in x.split(16)]) for part, x in log_mel.items()}
    f1 = train_tagger(
        model.tag if frozen else model,
        tagger if frozen else model,
        frames if frozen else log_mel,
        clips.targets,
        config,
        log=lambda epoch, loss, f1: run.log(stage="tagger", epoch=epoch, loss=loss, f1=f1),
    )
    return model.eval(), f1


def describe(clips: Clips, model: ClipTagger, config: Config) -> ModelCard:
    """Return the card of embedding and tagger together."""
    window = round(SECONDS * config.sample_rate)
    size = config.n_mels if model.embed is None else model.embed.size
    return ModelCard(
        name=f"{config.corpus}-{config.strategy.lower().replace('_', '-')}",
        task="tag",
        labels=clips.labels,
        score="sigmoid",
        frontend=clips.frontend,
        input=ModelInput("log_mel", "log_mel", ("batch", "time", "mel")),
        outputs=ModelOutputs(
            scores=ModelOutput("scores", ("batch", "label")), embedding=ModelOutput("embedding", ("batch", "feature"))
        ),
        window=window,
        hop=window,
        pad="zeros",
        reduce="max",
        embedding_size=size,
        embedding_normalised=False,
        training_data=clips.description,
        licence=clips.licence,
        attribution=clips.attribution,
        commit=commit(),
    )


def engine_outputs(model: Path, clips: Clips) -> tuple[np.ndarray, np.ndarray]:
    """Return scores (n_clips, n_labels) and embeddings (n_clips, size) of the evaluation clips, by the engine."""
    scores, embeddings = [], []
    with Tagger(model, device="cpu", threads=1) as tagger:
        for sound in clips.evaluation():
            result = tagger((sound, clips.frontend.sample_rate))
            scores.append(result.scores)
            embeddings.append(result.embedding)
    return np.stack(scores), np.stack(embeddings)
