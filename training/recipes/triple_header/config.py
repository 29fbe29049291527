"""Every number of the triple-header recipe."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import ConfigError
from training.cluster_stage import EMBEDDINGS, ClusterStage
from training.losses.embedding import EMBEDDING_LOSSES


@dataclass(frozen=True)
class Config(ClusterStage):
    """Defaults are the paper's where it gives a number; where it gives none, the comment says why this one."""

    seed: int = 0
    threads: int = 1  # of torch; part of the result, since sums run in another order

    precision: str = "bfloat16"  # of the encoder while it learns: the LSTM is 1.8 times as fast, the CNN 1.5 to 2.6

    corpus: str = "keywords"  # keywords: words of Speech Commands; esc10: events over background; audioset: the paper's
    events: tuple[str, ...] = ()  # their labels; none is the corpus's own three
    ratio: tuple[int, ...] = (6, 1, 2, 16)  # clips of each event, then of background; the second set is 2,2,1,26
    most: int = 0  # clips of the smallest class in training; 0 is as many as the ratio allows

    sample_rate: int = 16_000  # Hz; not stated
    n_mels: int = 64
    win_s: float = 0.025
    hop_s: float = 0.01

    encoder: str = "lstm"  # or cnn
    size: int = 128  # units of the LSTM
    channels: tuple[int, ...] = (32, 64)  # of the CNN
    pool_frames: tuple[int, ...] = ()  # of the CNN over time; none keeps two steps of any length, as 5,100 does of 10 s
    dropout: float = 0.3  # of the CNN

    embedding: str = "triple_header"  # none is the baseline: the detector alone, from scratch

    detector_epochs: int = 200  # at most
    patience: int = 10  # epochs without a lower validation loss
    weighted: bool = True  # positives by their rarity (L_wbin)
    gamma: float = 0.0  # of the focal loss; 0 is cross entropy
    embedding_loss: str = "none"  # beside it; background is a class. No use in proposed1, whose encoder stays
    embedding_weight: float = 1.0

    false_alarms: float = 0.05  # the rate of the second set of thresholds in the card

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        super().__post_init__()
        choices = {
            "corpus": ("keywords", "esc10", "audioset"),
            "encoder": ("lstm", "cnn"),
            "embedding": EMBEDDINGS,
            "precision": ("float32", "bfloat16"),
            "embedding_loss": EMBEDDING_LOSSES,
        }
        for name, values in choices.items():
            if getattr(self, name) not in values:
                raise ConfigError(
                    f"expected --{name} to be one of {', '.join(values)}, got {getattr(self, name)!r}; change it"
                )
        for name in ("threads", "detector_epochs", "patience", "size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected at least one of {name}, got {getattr(self, name)!r}; change --{name}")
        if len(self.ratio) < 2 or min(self.ratio) < 1:
            raise ConfigError(f"expected a ratio of events and background, got {self.ratio}; write it as 6,1,2,16")
        if self.events and len(self.events) != len(self.ratio) - 1:
            raise ConfigError(
                f"expected {len(self.ratio) - 1} events for the ratio {self.ratio}, got {self.events}; change one"
            )
