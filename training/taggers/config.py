"""The numbers that every recipe of a shipped tagger has; a recipe's own ``Config`` gives them its defaults."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import ConfigError
from training.cluster_stage import EMBEDDINGS
from training.losses.embedding import SOFT

PRECISIONS = ("float32", "bfloat16")
SCORES = ("sigmoid", "softmax")


@dataclass(frozen=True)
class TaggerConfig:
    """Every number of a tagger and its training."""

    seeds: tuple[int, ...] = (0, 1, 2)  # one cross-validation each; the final model takes the first
    final: bool = True  # after the cross-validation, train on every fold and export the models to ship
    variants: tuple[str, ...] = ()  # of the final models, written beside them: int8, fp16, waveform
    threads: int = 1  # of torch; part of the result, since sums run in another order
    precision: str = "bfloat16"  # of convolutions in training; the exported weights are float32 either way

    sample_rate: int = 44_100  # Hz
    f_max: float = 18_000.0  # Hz
    win_s: float = 0.025
    hop_s: float = 0.02
    n_mels: int = 64
    window_s: float = 5.12  # what the exported model sees at once
    channels: tuple[int, ...] = (24, 32, 64, 128)
    embedding_size: int = 128
    dropout: float = 0.2

    epochs: int = 80
    batch_size: int = 32  # at least; an epoch is cut into equal batches
    learning_rate: float = 3e-3  # peak, after a linear rise and before a cosine fall to zero
    warmup_steps: int = 40
    weight_decay: float = 0.02  # on matrices and kernels, not on offsets and batch-norm scales
    average_decay: float = 0.99  # per step, of the weights that are exported
    score: str = "sigmoid"  # labels are independent; softmax: they exclude each other
    label_smoothing: float = 0.05
    embedding: str = "none"  # triple_header: first of all, on sets of labels
    embedding_epochs: tuple[int, int, int] = (3, 10, 40)  # of it: clusterings, epochs after each, and after the last
    embedding_loss: str = "none"  # beside it; one of those that know mixed labels, training/losses/embedding.py
    embedding_weight: float = 1.0
    consistency: float = 0.0  # weight of agreement with the averaged network on the unchanged crop (mean teacher)
    shrinkage: float = 0.0  # of the discriminant that embedding and scores are fitted by at last; none with 0
    penalty: float = 1.0  # of the weights of its scores
    step_weight: float = 0.0  # of the loss of steps of time; 0 does not train their scores
    checkpoint_every: int = 10  # epochs

    crop_s: float = 5.0  # what the network sees at once in training
    max_stretch: float = 1.25  # speed within 1 / max_stretch ... max_stretch
    shift_s: float = 0.0  # that a crop may begin before or end after its clip
    part_share: float = 0.3  # of crops that are silenced but for one part, as short clips and cut events are
    shortest_part_s: float = 0.5
    inaudible_db: float = 30.0  # what stays this far under its clip's loudest frame has no label
    equaliser_db: float = 6.0
    joined_share: float = 0.0  # of crops that are the halves of two words
    joined_label: int = 0  # what those are
    mix_share: float = 0.25  # of crops that get a second one on top
    mix_below_db: float = 10.0  # the second is at most this much weaker
    mixup_share: float = 0.0  # of crops that become a mean of two, their labels by the weights of either
    other_share: float = 0.0  # sounds of no label, for each clip of a batch
    under_share: float = 0.0  # of crops that get a sound of no label under them
    under_db: tuple[float, ...] = (5.0, 30.0)  # least and most that it is weaker
    noise_share: float = 0.3  # of crops that get stationary noise
    band_share: float = 0.2  # of crops that lose the bands above a random one, as low sample rates and codecs do
    lowest_band: int = 36  # the lowest that may be the last
    style_share: float = 0.3  # of crops that get some of the colour of another
    mask_frames: int = 16  # SpecAugment, one mask each
    mask_mels: int = 12

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        for name in ("seeds", "channels", "threads", "epochs", "batch_size", "warmup_steps", "checkpoint_every"):
            value = getattr(self, name)
            if not (value > 0 if isinstance(value, int) else value):
                raise ConfigError(f"expected at least one of {name}, got {value!r}; change --{name}")
        known = {"embedding": EMBEDDINGS, "embedding_loss": SOFT, "precision": PRECISIONS, "score": SCORES}
        for name, choices in known.items():
            if (value := getattr(self, name)) not in choices:
                raise ConfigError(f"expected --{name} to be one of {', '.join(choices)}, got {value!r}; change it")
