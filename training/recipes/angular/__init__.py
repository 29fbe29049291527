"""Paper 5: the angular distance distribution (ADD) loss, Almudevar et al. (2024), beside the losses it compares with.

A classifier learns cross-entropy, and beside it that the angular distances within a class are small and alike, those
between classes near a right angle and alike: mean and deviation of each over the pairs of the whole batch. Where clips
are mixed, labels are, too, and the distances of the embeddings are to be those of the labels.

    python -m training run angular --data DIR --run runs/add-0 --embedding_loss=add
    python -m training run angular --data DIR --run runs/words --corpus=keywords --win_s=0.025 --hop_s=0.02 --epochs=8
    python -m training run angular --data DIR --run runs/ast --encoder=ast --checkpoint=FOLDER --learning_rate=6.7e-6

DIR is the data set of ``--corpus``. Each fold is left out in turn: the network is trained on the others, exported, and
scored through ``engine.Tagger`` on the clips of the fold. The run writes ``metrics.json`` (accuracy and the four
moments of each fold, before and after training), ``test.npz`` (scores, truth and distances of each pair of classes) and
``foldF.onnx``; interrupted, ``python -m training resume RUN`` goes on and ends bit-equal.

The report's grid, the paper's settings and the tables: ``python -m training angular --help``. Expected numbers:
docs/papers/angular.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from engine import Tagger
from engine.card import ModelCard, ModelInput, ModelOutput, ModelOutputs
from training import augment
from training.export import export
from training.losses.angular import angular_moments, focal
from training.losses.embedding import embedding_loss
from training.metrics import accuracy, class_geometry, confusion_matrix
from training.recipes.angular.config import Config
from training.recipes.angular.corpora import Corpus, Fold, load_corpus
from training.recipes.angular.encoders import Encoder, front_end, log_mel_of, make_encoder
from training.recipes.angular.schedules import learning_rate, optimiser
from training.run import Run, commit
from training.sampling.batches import epoch_generator, shuffled

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.random import Generator
    from numpy.typing import NDArray
    from torch import Tensor

    from engine.frontend import FrontendConfig

__all__ = ["Config", "command", "figures", "train"]

MOMENTS = ("mu_p", "sigma_p", "mu_n", "sigma_n")


def command(arguments: Sequence[str]) -> int:
    """Run the cells of the report, or print their tables: ``python -m training angular run|report``."""
    from training.recipes.angular.grid import main

    return main(arguments)


def train(data: Path, run: Run, config: Config) -> None:
    """Train, export and score one network per fold, write the figures into ``run``."""
    run.finish(figures(data, run, config))


def figures(data: Path, run: Run, config: Config) -> dict[str, Any]:
    """Return what ``train`` writes."""
    torch.set_num_threads(config.threads)
    corpus = load_corpus(data, config)
    state = run.load() or {"done": {}}
    for number, fold in enumerate(corpus.folds):
        if fold.name in state["done"]:
            continue
        frontend = with_statistics(front_end(corpus.sample_rate, config), corpus.waveforms[fold.train], config)
        torch.manual_seed(_mixed(config.seed, number))
        encoder = make_encoder(frontend.n_frames(corpus.waveforms.shape[1]), corpus.labels, config)
        before = untrained_moments(encoder, frontend, corpus, fold, config)
        fit(encoder, frontend, corpus, fold, config, number=number, run=run, state=state)
        path = run.folder / f"fold{fold.name}.onnx"
        export(encoder.network, describe(encoder, frontend, corpus, fold, config), path, shortest=encoder.shortest)
        heard = hear(path, corpus, fold)
        after = moments(heard.embeddings, corpus.truth[fold.test])
        share = accuracy(confusion_matrix(heard.scores, corpus.truth[fold.test]))
        run.log(fold=fold.name, accuracy=share, **after)
        scored = {"scores": heard.scores.tolist(), "embeddings": heard.embeddings.tolist()}
        done = {"accuracy": share, "before": before, "after": after, **scored}
        state = {"done": state["done"] | {fold.name: done}}
        # With the weights, from which other runs may start.
        run.save(state | {"network": encoder.network.state_dict()})
    return summarise(corpus, state["done"], run.folder)


# -- Front end: log-mel, normalised to mean 0 and deviation 0.5 (section 4.1) ------------------------------------------


def with_statistics(frontend: FrontendConfig, waveforms: NDArray[np.float32], config: Config) -> FrontendConfig:
    """Return the front end that subtracts the mean and divides by twice the deviation of these clips, all bands alike.

    The code caches those of its first fold for all folds; here they are each training part's own.
    """
    log_mel = log_mel_of(frontend, config)
    total, squares, n = 0.0, 0.0, 0
    for part in np.array_split(waveforms, -(-len(waveforms) // 256)):
        values = log_mel(part).astype(np.float64)
        total, squares, n = total + values.sum(), squares + (values**2).sum(), n + values.size
    mean = total / n
    deviation = max((squares / n - mean**2) ** 0.5, 1e-3)
    return replace(frontend, mean=round(float(mean), 5), std=round(2 * float(deviation), 5))


# -- Mixing and SpecAugment: only while training -----------------------------------------------------------------------


def mixed(
    waveforms: NDArray[np.float32],
    targets: NDArray[np.float32],
    batch: NDArray[np.int64],
    config: Config,
    rng: Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a batch in which a share of the clips is mixed with another of the training part, labels alike.

    Parameters
    ----------
    waveforms : ndarray, shape (n_clips, n_samples)
    targets : ndarray, shape (n_clips, n_labels)
    batch : ndarray of int
        Rows of both.
    """
    partner = rng.integers(0, len(waveforms), len(batch))
    share = rng.beta(config.mixup_alpha, config.mixup_alpha, (len(batch), 1)).astype(np.float32)
    share[rng.random(len(batch)) >= config.mixup] = 1
    return (
        share * waveforms[batch] + (1 - share) * waveforms[partner],
        share * targets[batch] + (1 - share) * targets[partner],
    )


# -- Training: cross-entropy and the loss on embeddings, both over the whole batch (equation 2) ------------------------


def fit(
    encoder: Encoder,
    frontend: FrontendConfig,
    corpus: Corpus,
    fold: Fold,
    config: Config,
    *,
    number: int,
    run: Run,
    state: dict[str, Any],
) -> None:
    """Train a network in place on the training part of a fold, or go on with it; it ends in evaluation mode."""
    waveforms, truth = corpus.waveforms[fold.train], corpus.truth[fold.train]
    targets = np.eye(len(corpus.labels), dtype=np.float32)[truth]
    log_mel = log_mel_of(frontend, config)
    network = encoder.network.to(config.device)
    optimizer = optimiser(network, config)
    first_epoch = 0
    if saved := state.get("learning"):
        first_epoch = saved["epochs"]
        network.load_state_dict(saved["network"])
        optimizer.load_state_dict(saved["optimizer"])

    n_batches = max(1, len(truth) // config.batch_size)
    for epoch in run.bar(range(first_epoch, config.epochs), f"fold {fold.name}"):
        network.train()
        # One seed per epoch, so that nothing of the generators' state needs saving.
        rng = epoch_generator(config.seed, number, epoch)
        masks = torch.Generator().manual_seed(_mixed(config.seed, number, epoch, 0))
        torch.manual_seed(_mixed(config.seed, number, epoch, 1))  # dropout
        total = 0.0
        (order,) = shuffled(len(truth), len(truth), rng)
        for i, batch in enumerate(np.array_split(order, n_batches)):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(epoch * n_batches + i, n_batches, config)
            if config.mixup:
                clips, shares = mixed(waveforms, targets, batch, config, rng)
                wanted = torch.from_numpy(shares)
            else:
                clips, wanted = waveforms[batch], torch.from_numpy(truth[batch])
            seen = augment.mask(torch.from_numpy(log_mel(clips)), 1, config.mask_frames, config.mask_mels, masks)
            logits, embedding = network(seen.to(config.device))
            loss = batch_loss(logits, embedding, wanted.to(config.device), config)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(batch)
        run.log(fold=fold.name, epoch=epoch, loss=total / len(truth))
        if (epoch + 1) % config.checkpoint_every == 0:
            learning = {"epochs": epoch + 1, "network": network.state_dict(), "optimizer": optimizer.state_dict()}
            run.save({**state, "learning": learning})
    network.eval().to("cpu")


def batch_loss(logits: Tensor, embedding: Tensor, targets: Tensor, config: Config) -> Tensor:
    """Return the loss of a batch: the classifier's, and that on the embeddings.

    Parameters
    ----------
    logits : Tensor, shape (batch, n_labels)
    embedding : Tensor, shape (batch, embedding_size)
    targets : Tensor, shape (batch,) or (batch, n_labels)
        Labels, or the shares of mixed ones.
    """
    if config.objective == "focal":
        loss = focal(logits, targets, config.gamma)
    elif config.objective == "ce":
        loss = functional.cross_entropy(logits, targets)
    else:
        shares = targets if targets.ndim > 1 else functional.one_hot(targets, logits.shape[1]).to(logits.dtype)
        loss = functional.binary_cross_entropy_with_logits(logits, shares)
    p_mean, p_std, n_mean, n_std = config.lambdas
    return loss + embedding_loss(config.embedding_loss, embedding, targets, (p_mean, p_std, n_mean, n_std))


# -- Evaluation: the exported model, no augmentation, accuracy of the highest score ------------------------------------


@dataclass(frozen=True)
class Heard:
    """What the engine gives for the clips of a fold: rows in the order of ``Fold.test``."""

    scores: NDArray[np.float32]
    embeddings: NDArray[np.float32]


def hear(model: Path, corpus: Corpus, fold: Fold) -> Heard:
    """Return scores and embeddings of a fold's clips from ``engine.Tagger``, one CPU thread."""
    with Tagger(model, device="cpu", threads=1) as tagger:
        assert tagger.labels == corpus.labels
        clips = [tagger.embed((corpus.waveforms[i], corpus.sample_rate)) for i in fold.test]
    return Heard(np.stack([clip.scores for clip in clips]), np.stack([clip.embedding for clip in clips]))


def untrained_moments(
    encoder: Encoder, frontend: FrontendConfig, corpus: Corpus, fold: Fold, config: Config
) -> dict[str, float]:
    """Return the moments of a fold's clips before training."""
    log_mel = log_mel_of(frontend, config)
    encoder.network.eval()
    with torch.no_grad():
        parts = np.array_split(fold.test, -(-len(fold.test) // 64))
        rows = torch.cat([encoder.network(torch.from_numpy(log_mel(corpus.waveforms[part])))[1] for part in parts])
    return moments(rows.numpy(), corpus.truth[fold.test])


def moments(embeddings: NDArray[np.float32], truth: NDArray[np.int64]) -> dict[str, float]:
    """Return the four moments that the loss holds down, of all pairs of these clips."""
    values = angular_moments(torch.from_numpy(embeddings).double(), torch.from_numpy(truth))
    return {name: float(value) for name, value in zip(MOMENTS, values, strict=True)}


def summarise(corpus: Corpus, done: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return means over folds; write what the tests and the figure need of single clips and pairs of classes."""
    scores = np.concatenate([np.array(done[fold.name]["scores"], np.float32) for fold in corpus.folds])
    truth = np.concatenate([corpus.truth[fold.test] for fold in corpus.folds])
    geometry = [
        class_geometry(np.array(done[fold.name]["embeddings"]), corpus.truth[fold.test], len(corpus.labels))
        for fold in corpus.folds
    ]
    np.savez_compressed(
        folder / "test.npz",
        scores=scores,
        truth=truth,
        clips=np.concatenate([fold.test for fold in corpus.folds]),
        mean=np.stack([each.mean for each in geometry]),
        variation=np.stack([each.variation for each in geometry]),
    )
    folds = {name: {key: figure[key] for key in ("accuracy", "before", "after")} for name, figure in done.items()}
    made: dict[str, Any] = {"accuracy": float(np.mean([figure["accuracy"] for figure in folds.values()]))}
    if "silence" in corpus.labels:
        # Its clips are cut from a few recordings, which every fold has.
        spoken = truth != corpus.labels.index("silence")
        made["accuracy_without_silence"] = accuracy(confusion_matrix(scores[spoken], truth[spoken]))
    for when in ("before", "after"):
        made[when] = {name: float(np.mean([figure[when][name] for figure in folds.values()])) for name in MOMENTS}
    return made | {"folds": folds}


def describe(encoder: Encoder, frontend: FrontendConfig, corpus: Corpus, fold: Fold, config: Config) -> ModelCard:
    """Return the card of the model of one fold."""
    window = corpus.waveforms.shape[1]
    return ModelCard(
        name=f"{config.corpus}-{config.encoder}-{config.embedding_loss}",
        task="tag",
        labels=corpus.labels,
        score="sigmoid" if config.objective == "bce" else "softmax",
        frontend=frontend,
        input=ModelInput("log_mel", "log_mel", ("batch", "time", "mel")),
        outputs=ModelOutputs(
            scores=ModelOutput("scores", ("batch", "label")), embedding=ModelOutput("embedding", ("batch", "feature"))
        ),
        window=window,
        hop=window,
        pad="zeros",
        reduce="max" if config.objective == "bce" else "mean",
        embedding_size=encoder.embedding_size,
        embedding_normalised=encoder.unit_length,
        training_data=f"{corpus.data.name}, {len(fold.train)} clips, all folds but {fold.name}",
        licence=corpus.licence,
        attribution=corpus.attribution,
        commit=commit(),
    )


def _mixed(*seeds: int) -> int:
    """Return one well-mixed seed from several small numbers."""
    return int(np.random.SeedSequence(seeds).generate_state(1)[0])
