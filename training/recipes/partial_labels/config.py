"""Every number of the recipe of partial labels."""

from __future__ import annotations

from dataclasses import dataclass

from engine.errors import ConfigError
from training.cluster_stage import EMBEDDINGS
from training.losses.embedding import SOFT

METHODS = ("b0", "b1", "le", "mt", "le_mt")


@dataclass(frozen=True)
class Config:
    """Defaults are the paper's for OpenMIC where it gives a number; else the comment says why this one."""

    seed: int = 0
    threads: int = 1

    # 1. Data
    corpus: str = "openmic2018"  # sonyc_ust, audioset_vggish, scenes (training/datasets/scenes.py)
    sequences: str = ""  # sonyc_ust: .npz of python -m training embed, or of OpenL3; scenes: the embedder, an .onnx
    background: str = "../longform_dev/maad_day"  # of scenes, seen from the data's folder
    scenes: int = 600  # of scenes: to train on; a quarter as many validate, half as many test
    first_fold: int = 0  # of scenes: the fold that tests, which the embedder must not have been trained on
    step_s: float = 0.96  # of scenes: stretches that the embedder hears
    fewest: int = 20  # of audioset_vggish: clips that a label must have
    dropped: float = 0.0  # share of the known training labels that is hidden: 0.1, 0.2, 0.4, 0.8
    hidden: str = "random"  # rare: labels with few positive clips are hidden more often

    # 2. Network
    layers: int = 3  # one for SONYC-UST
    dropout: float = 0.6

    # 3. Method
    method: str = "b1"  # b0, b1, le, mt; le_mt: consistency in both stages of label enhancing, proposed as future work
    percentiles: tuple[float, ...] = (10.0,)  # gamma of le, in per cent; of several, the least validation loss decides
    beta: float = 3.0  # weight of the consistency
    decay: float = 0.999  # alpha of the teacher; 0.99 for SONYC-UST
    average_buffers: bool = False  # of batch normalisation, in the teacher; the authors' code leaves them to its passes
    embedding: str = "none"  # triple_header: before all else, on the sets of labels of clips that are known whole
    embedding_epochs: tuple[int, int, int] = (5, 30, 150)  # of it: clusterings, epochs after each, and after the last
    embedding_loss: str = "none"  # beside the cross entropy, on the student's mean features; add or add_pooled
    embedding_weight: float = 1.0
    leak: bool = False  # learn what was hidden where an entry is kept, as the authors' code does on SONYC-UST

    # 4. Training; the authors' code where the paper is silent
    learning_rate: float = 1e-3  # 5e-4 for MT on SONYC-UST (the paper's 5e-3 is read as a slip)
    weight_decay: float = 1e-5
    batch_size: int = 64
    epochs: int = 100
    halve_every: int = 30  # epochs

    def __post_init__(self) -> None:
        """Refuse what no part of the recipe knows."""
        choices = {
            "corpus": ("openmic2018", "sonyc_ust", "audioset_vggish", "scenes"),
            "method": METHODS,
            "hidden": ("random", "rare"),
            "embedding": EMBEDDINGS,
            "embedding_loss": SOFT,
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ConfigError(f"expected --{name} among {known}, got {getattr(self, name)!r}; choose one of them")
        if not 0 <= self.dropped < 1 or not self.percentiles or not all(0 <= p <= 100 for p in self.percentiles):
            raise ConfigError(
                f"expected --dropped from 0 to below 1 and --percentiles from 0 to 100, got {self.dropped} and "
                f"{self.percentiles}; change them"
            )
