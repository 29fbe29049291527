"""Every number of the two-tower recipe."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import ConfigError


@dataclass(frozen=True)
class Config:
    """Defaults are the paper's where it gives a number, but for ``corpus``; else the comment says why this one."""

    seed: int = 0  # of the trial: classes, parts, first weights and draws; losses of one seed are a pair
    threads: int = 1  # of torch; part of the result, since sums run in another order

    corpus: str = "words"  # words of Speech Commands in place of the Vocal Imitation Set, "imitations"
    n_classes: int = 10
    training_share: float = 0.7  # of the queries; references are those of both parts

    towers: str = "iminet"  # small is for trials without an accelerator
    dropout: float = 0.0  # the published runs have none, an option of 0.2 exists

    loss: str = "triplet"  # or pairwise, or infonce: against the targets of the batch
    schedule: str = "published"  # matched: as many steps an epoch as the triplets have, whatever the loss
    epochs: int = 300
    batch_size: int = 128
    learning_rate: float = 1e-3  # Adam, no weight decay
    ties: str = "average"  # of ranks; the published code is optimistic, which rewards a network that says one thing

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        choices = {
            "corpus": ("words", "imitations"),
            "towers": ("iminet", "small"),
            "loss": ("triplet", "pairwise", "infonce"),
            "schedule": ("published", "matched"),
            "ties": ("optimistic", "average", "pessimistic"),
        }
        for name, values in choices.items():
            if getattr(self, name) not in values:
                raise ConfigError(
                    f"expected --{name} to be one of {', '.join(values)}, got {getattr(self, name)!r}; change it"
                )
        for name in ("threads", "epochs", "n_classes"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected at least 1 for --{name}, got {getattr(self, name)!r}; change it")
        if self.batch_size < 2 or self.batch_size % 2:
            raise ConfigError(f"expected an even --batch_size, half of it targets, got {self.batch_size}; change it")
        if not 0 < self.training_share < 1:
            raise ConfigError(f"expected --training_share between 0 and 1, got {self.training_share}; change it")
