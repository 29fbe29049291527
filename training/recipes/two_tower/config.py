"""Every number of the two-tower recipe."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import ConfigError


@dataclass(frozen=True)
class Config:
    """Defaults are the paper's where it gives a number, but for ``corpus``; else the comment says why this one."""

    seed: int = 0  # of the trial: classes, parts, first weights and draws; losses of one seed are a pair
    threads: int = 1  # of torch; part of the result, since sums run in another order
    device: str = "cpu"  # or cuda

    name: str = ""  # of the model; none is corpus and loss
    corpus: str = "words"  # in place of imitations, the Vocal Imitation Set; or fsdd, sounds, pairs (pairs.csv)
    n_classes: int = 10  # 0 for all there are
    n_unheard: int = 0  # classes kept out of training altogether, for a figure of their own; with targets=any
    training_share: float = 0.7  # of the queries, or with targets=any of the speakers or sources
    targets: str = "canonical"  # what a query means: one recording per class, or any of its class by somebody else

    query_encoder: str = "imitation"  # a name of training/recipes/two_tower/towers.py, or the folder of a run
    reference_encoder: str = "recording"
    frozen: bool = False  # encoders that come from a run keep their weights and statistics
    embedding_size: int = 0  # of a linear layer behind either encoder; 0 for none
    head: str = "joined"  # one hidden layer over both embeddings; or cosine
    dropout: float = 0.0  # of the joined head; the published runs have none, an option of 0.2 exists
    channels: tuple[int, ...] = ()  # of residual, crnn, cnn and segments; none is each network's own
    layers: int = 12  # of ast and beats
    width: int = 768
    prepared: bool = False  # queries trimmed and levelled as engine.Ranker does it
    augmented: bool = False  # log-mel shifted in time and masked while training

    loss: str = "triplet"  # or pairwise; infonce, against the targets of the batch; supcon, with all of them that fit;
    # semi_hard, mined from the batch
    schedule: str = "published"  # matched: as many steps an epoch as the triplets have, whatever the loss
    epochs: int = 300
    batch_size: int = 128
    learning_rate: float = 1e-3  # Adam, no weight decay
    cosine_decay: bool = False  # of the learning rate, to zero at the last epoch
    once: bool = False  # each recording of a batch once through its tower: twice as fast, batch norm counts it once
    ties: str = "average"  # of ranks; the published code is optimistic, which rewards a network that says one thing
    n_judged: int = 0  # candidates of the figure in the card, through engine.Ranker after training; 0 for no figure

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        choices = {
            "corpus": ("words", "imitations", "fsdd", "sounds", "pairs"),
            "targets": ("canonical", "any"),
            "head": ("joined", "cosine"),
            "loss": ("triplet", "pairwise", "infonce", "supcon", "semi_hard"),
            "schedule": ("published", "matched"),
            "ties": ("optimistic", "average", "pessimistic"),
        }
        for name, values in choices.items():
            if getattr(self, name) not in values:
                raise ConfigError(
                    f"expected --{name} to be one of {', '.join(values)}, got {getattr(self, name)!r}; change it"
                )
        for name in ("threads", "epochs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected at least 1 for --{name}, got {getattr(self, name)!r}; change it")
        for name in ("n_classes", "n_unheard", "embedding_size", "n_judged"):
            if getattr(self, name) < 0:
                raise ConfigError(f"expected at least 0 for --{name}, got {getattr(self, name)!r}; change it")
        if self.batch_size < 2 or self.batch_size % 2:
            raise ConfigError(f"expected an even --batch_size, half of it targets, got {self.batch_size}; change it")
        if not 0 < self.training_share < 1:
            raise ConfigError(f"expected --training_share between 0 and 1, got {self.training_share}; change it")
        if self.n_unheard and self.targets != "any":
            raise ConfigError("expected --targets=any with --n_unheard, got canonical; change one of them")
