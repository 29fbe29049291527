"""Every number of the recipe of semi-supervised triplets."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import ConfigError
from training.cluster_stage import EMBEDDINGS
from training.losses.embedding import SOFT

TRANSFORMATIONS = ("noise", "translation", "proximity", "mixing")


@dataclass(frozen=True)
class Config:
    """Defaults are the paper's where it gives a number; where it gives none, the comment says why this one."""

    seed: int = 0
    threads: int = 1  # of torch and the kernels; part of the result, since torch's sums run in another order

    corpus: str = "scenes"  # made from ESC-10 (training/datasets/scenes.py); dcase2018: the paper's
    background: str = "../longform_dev/maad_day"  # of scenes: field recordings, seen from the data's folder
    labelled: int = 120  # scenes of each part; the ratio of unlabelled to labelled is the paper's 9.13
    unlabelled: int = 1096
    validation: int = 80
    evaluation: int = 240

    # 1. Features
    sample_rate: int = 44_100
    win_length: int = 1102  # 25 ms; the paper's 1102.5 samples
    hop_length: int = 441  # 10 ms
    n_fft: int = 2048  # not stated; the next power of two, as in the authors' later code
    n_mels: int = 64
    log_offset: float = 0.01  # of magnitudes; not stated, the authors' later code
    segment_frames: int = 96
    segments: int = 10  # of a clip: its first 960 frames; shorter clips are padded with zeros

    # 2. Triplets
    strategy: str = "S2"  # S1 to S5; crnn, log_mel: the paper's two baselines without triplets; frozen: see embedding
    labelled_anchors: float = 1.0  # times that each labelled segment is an anchor, on average
    unlabelled_anchors: float = 1.0  # unlabelled anchors, in numbers of labelled segments
    transformations: tuple[str, ...] = TRANSFORMATIONS  # one is drawn for each triplet; the paper does not say which
    noise: str = "multiplicative"  # on linear mel, after Jansen; additive: on normalised log-mel
    sigma: float = 0.5
    max_bands: int = 10  # S
    alpha: float = 0.25
    nearest: str = "nearest"  # of S3; beyond_transformed and one_of_k are what the paper proposes as future work
    nearest_k: int = 5  # of one_of_k
    nearest_own_clip: bool = True  # whether S3's positive may be of the anchor's clip; the paper does not say
    pool: int = 1000  # segments that semi-hard negatives are taken from, drawn and embedded again at every epoch

    # 3. Embedding
    channels: tuple[int, ...] = (64, 64, 64)
    dropout: float = 0.3  # not stated; the DCASE baseline's
    aggregate: str = "flatten"  # of a segment's frames before distances; mean is the other reading
    margin: float = 1.0  # delta
    squared: bool = True  # distances; the printed formula can be read either way
    gradient: str = "all"  # through all three embeddings; anchor: the authors' later code
    embedding: str = "none"  # triple_header, paper 4: before crnn, or before the tagger of frozen, on labelled segments
    embedding_epochs: tuple[int, int, int] = (5, 5, 20)  # of it: clusterings, epochs after each, and after the last
    embedding_loss: str = "none"  # add, supcon ...: also on anchors with labels; of crnn, on its clips
    embedding_weight: float = 1.0
    epochs: int = 5  # over the triplets, which are drawn anew; not stated
    batch_size: int = 32  # triplets; not stated
    learning_rate: float = 1e-3  # Adam; not stated, the DCASE baseline's, as are the tagger's numbers below

    # 4. Tagger
    units: int = 64
    tagger_layers: int = 2  # one in the CRNN
    tagger_pool: int = 1  # frames whose mean is one step of the recurrent layers
    tagger_epochs: int = 100  # at most
    tagger_batch: int = 16
    tagger_learning_rate: float = 1e-3
    first_epochs: int = 5  # before any counts as best
    patience: int = 15  # epochs without a validation F1 that is min_gain better
    min_gain: float = 0.01

    def __post_init__(self) -> None:
        """Refuse what no part of the recipe knows."""
        choices = {
            "corpus": ("scenes", "dcase2018"),
            "strategy": ("S1", "S2", "S3", "S4", "S5", "crnn", "log_mel", "frozen"),
            "noise": ("multiplicative", "additive"),
            "nearest": ("nearest", "beyond_transformed", "one_of_k"),
            "aggregate": ("flatten", "mean"),
            "gradient": ("all", "anchor"),
            "embedding": EMBEDDINGS,
            "embedding_loss": SOFT,
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ConfigError(f"expected --{name} among {known}, got {getattr(self, name)!r}; choose one of them")
        if not self.transformations or set(self.transformations) - set(TRANSFORMATIONS):
            raise ConfigError(f"expected --transformations among {TRANSFORMATIONS}, got {self.transformations}")
        fitting = {"frozen": ("triple_header",), "crnn": EMBEDDINGS}.get(self.strategy, ("none",))
        if self.embedding not in fitting:
            raise ConfigError(
                f"expected --embedding={' or '.join(fitting)} with {self.strategy}, got {self.embedding!r}; "
                "triple_header goes with crnn and frozen, and frozen with it alone"
            )
        if self.strategy in ("log_mel", "frozen") and self.embedding_loss != "none":
            raise ConfigError(
                f"expected --embedding_loss=none with {self.strategy}, which has no such stage, got "
                f"{self.embedding_loss!r}; change one"
            )
        if self.strategy in ("S4", "S5") and self.unlabelled_anchors:
            raise ConfigError(
                f"expected --unlabelled_anchors=0 with {self.strategy}, whose anchors are labelled, got "
                f"{self.unlabelled_anchors}; give --labelled_anchors all of them"
            )

    @property
    def learns_from_triplets(self) -> bool:
        """Whether there is a stage of triplets."""
        return self.strategy.startswith("S")
