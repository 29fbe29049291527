"""Every number of the angular recipe."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import ConfigError
from training.losses.embedding import EMBEDDING_LOSSES, SOFT

CORPORA = ("esc10", "esc50", "keywords", "fsdd", "iemocap")
ENCODERS = ("residual", "crnn", "ast", "beats")


@dataclass(frozen=True)
class Config:
    """Defaults are for the small networks; ``PUBLISHED`` has what the paper's code has for AST and BEATs."""

    seed: int = 0
    threads: int = 1  # of torch; part of the result, since sums run in another order
    device: str = "cpu"  # of torch: cpu, cuda, cuda:1

    corpus: str = "esc10"  # or esc50, keywords (either part of Speech Commands), fsdd, iemocap
    n_folds: int = 3  # of corpora without published folds: speakers are dealt out to so many

    encoder: str = "residual"  # or crnn, ast, beats
    checkpoint: str = ""  # published weights of ast (folder or .pth) or beats (.pt); none is random weights
    channels: tuple[int, ...] = (16, 32, 64)  # of residual and crnn
    embedding_size: int = 64  # of residual and crnn
    dropout: float = 0.2
    n_mels: int = 40  # of residual and crnn; ast and beats have 128
    win_s: float = 0.05  # of residual and crnn; ast and beats have 25 ms
    hop_s: float = 0.04  # of residual and crnn; ast and beats have 10 ms
    layers: int = 12  # of ast and beats without a checkpoint
    width: int = 768  # of the same; a head has 64 of it

    objective: str = "ce"  # cross-entropy; focal; bce: sigmoid outputs, as the code has it where clips are mixed
    gamma: float = 2.0  # of focal; the code leaves it at 0, which is cross-entropy
    embedding_loss: str = "none"  # see training/losses/embedding.py
    lambdas: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)  # mean and deviation of positive, then of negative pairs

    mixup: float = 0.0  # share of clips that are mixed with another before the front end; labels are mixed alike
    mixup_alpha: float = 10.0  # the share of the first is drawn from Beta(alpha, alpha)
    mask_frames: int = 12  # SpecAugment, one mask each, of at most so many
    mask_mels: int = 5

    epochs: int = 25
    batch_size: int = 32  # at least: an epoch is cut into equal batches
    optimiser: str = "adamw"  # or adam
    betas: tuple[float, ...] = (0.9, 0.98)
    weight_decay: float = 1e-2
    learning_rate: float = 3e-3
    first_rate: float = 1e-5  # where the warm-up begins, also where it ends lower
    warmup_epochs: int = 2  # the code's is 5
    schedule: str = "cosine"  # after the warm-up, to a thousandth; decay: times 0.85 an epoch; constant
    checkpoint_every: int = 10  # epochs

    def __post_init__(self) -> None:
        """Refuse numbers that no run can have."""
        choices = {
            "corpus": CORPORA,
            "encoder": ENCODERS,
            "objective": ("ce", "focal", "bce"),
            "embedding_loss": EMBEDDING_LOSSES,
            "optimiser": ("adam", "adamw"),
            "schedule": ("cosine", "decay", "constant"),
        }
        for name, values in choices.items():
            if getattr(self, name) not in values:
                raise ConfigError(
                    f"expected --{name} to be one of {', '.join(values)}, got {getattr(self, name)!r}; change it"
                )
        for name in ("threads", "epochs", "batch_size", "layers", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"expected at least one of {name}, got {getattr(self, name)!r}; change --{name}")
        if self.n_folds < 2:
            raise ConfigError(f"expected two folds or more, got {self.n_folds}; change --n_folds")
        if self.width < 64 or self.width % 64:
            raise ConfigError(f"expected a width of whole heads of 64, got {self.width}; change --width")
        if len(self.lambdas) != 4 or len(self.betas) != 2:
            raise ConfigError(f"expected four lambdas and two betas, got {self.lambdas} and {self.betas}; change them")
        if not 0 <= self.mixup <= 1:
            raise ConfigError(f"expected a share from 0 to 1, got {self.mixup}; change --mixup")
        if self.mixup and (self.objective == "focal" or self.embedding_loss not in SOFT):
            raise ConfigError(
                f"expected losses of mixed labels with --mixup={self.mixup}, got {self.objective} and "
                f"{self.embedding_loss}; take ce or bce with {', '.join(SOFT)}, or --mixup=0"
            )
        if self.checkpoint and self.encoder not in ("ast", "beats"):
            raise ConfigError(f"expected --encoder=ast or beats with a checkpoint, got {self.encoder}; change one")
