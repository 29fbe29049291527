"""Every data set by name: its loader, what its publisher counts, and the checksums that are published."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from training.datasets.audioset import load_audioset, load_audioset_vggish
from training.datasets.dcase2018 import load_dcase2018
from training.datasets.esc50 import load_esc50
from training.datasets.fsdd import load_fsdd
from training.datasets.iemocap import load_iemocap
from training.datasets.openmic2018 import load_openmic2018
from training.datasets.sonyc_ust import load_sonyc_ust
from training.datasets.speech_commands import load_speech_commands
from training.datasets.vocal_imitation import load_vocal_imitation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from training.datasets.record import DataSet


@dataclass(frozen=True)
class Entry:
    """A data set as its publisher describes it.

    Attributes
    ----------
    title, licence, source : str
        For people; the whole card is at the top of the loader's module.
    load : callable
        Root to data set.
    splits : mapping of str to int
        How many recordings are published of each split, or of each fold as "fold 1".
    labels : mapping of str to mapping
        Of a split: in how many of its clips each label is.
    checksums : mapping of str to str
        Of a file below the root: "md5:..." or "sha256:...".
    beside : tuple of str
        Glob patterns, below the root, of recordings that belong to the download and to no record.
    has_audio : bool
        False when the set has no recordings at all.
    """

    title: str
    licence: str
    source: str
    load: Callable[[Path], DataSet]
    splits: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    checksums: Mapping[str, str] = field(default_factory=dict)
    beside: tuple[str, ...] = ()
    has_audio: bool = True


def _esc10(root: Path) -> DataSet:
    return load_esc50(root, "esc10")


DCASE_WEAK = {
    "Alarm_bell_ringing": 206,
    "Blender": 134,
    "Cat": 173,
    "Dishes": 184,
    "Dog": 214,
    "Electric_shaver_toothbrush": 103,
    "Frying": 171,
    "Running_water": 345,
    "Speech": 550,
    "Vacuum_cleaner": 167,
}
DCASE_TEST = dict(zip(DCASE_WEAK, (45, 30, 32, 35, 29, 25, 24, 63, 102, 35), strict=True))
DCASE_EVAL = dict(zip(DCASE_WEAK, (142, 50, 89, 136, 131, 37, 65, 134, 525, 56), strict=True))

CATALOGUE = {
    "audioset": Entry(
        title="AudioSet, balanced training part and evaluation part",
        licence="labels CC BY 4.0; audio as its videos",
        source="https://research.google.com/audioset/download.html",
        load=load_audioset,
        splits={"train": 22_160, "test": 20_371},
        beside=("unbalanced*/**/*", "audio/unbalanced*/**/*"),
    ),
    "audioset_vggish": Entry(
        title="AudioSet, 975 segments as VGGish embeddings",
        licence="CC BY 4.0",
        source="https://research.google.com/audioset/download.html",
        load=load_audioset_vggish,
        splits={"all": 975},
        has_audio=False,
    ),
    "dcase2018": Entry(
        title="DCASE 2018 task 4",
        licence="metadata MIT; audio as its videos",
        source="https://github.com/DCASE-REPO/dcase2018_baseline",
        load=load_dcase2018,
        splits={
            "train": 1_578,
            "unlabelled": 14_412,
            "unlabelled_out_of_domain": 39_999,
            "validation": 288,
            "test": 880,
        },
        labels={"train": DCASE_WEAK, "validation": DCASE_TEST, "test": DCASE_EVAL},
    ),
    "esc10": Entry(
        title="ESC-10",
        licence="CC BY 3.0",
        source="https://github.com/karolpiczak/ESC-50",
        load=_esc10,
        splits={f"fold {fold}": 80 for fold in range(1, 6)},
        checksums={"meta/esc50.csv": "md5:54a0d0055a10bb7df84ad340a148722e"},
        beside=("audio/*-[0-9]*-[A-Z]-[0-9]*.wav",),
    ),
    "esc50": Entry(
        title="ESC-50",
        licence="CC BY-NC 3.0",
        source="https://github.com/karolpiczak/ESC-50",
        load=load_esc50,
        splits={f"fold {fold}": 400 for fold in range(1, 6)},
        checksums={"meta/esc50.csv": "md5:54a0d0055a10bb7df84ad340a148722e"},
    ),
    "fsdd": Entry(
        title="Free Spoken Digit Dataset",
        licence="CC BY-SA 4.0",
        source="https://github.com/Jakobovski/free-spoken-digit-dataset",
        load=load_fsdd,
        splits={"train": 2_700, "test": 300},
    ),
    "iemocap": Entry(
        title="IEMOCAP, all codes",
        licence="by request, not redistributable",
        source="https://sail.usc.edu/iemocap/",
        load=lambda root: load_iemocap(root, "all"),
        splits={"fold 1": 1_819, "fold 2": 1_811, "fold 3": 2_136, "fold 4": 2_103, "fold 5": 2_170},
        beside=("**/dialog/**/*", "**/sentences/**/._*"),
    ),
    "openmic2018": Entry(
        title="OpenMIC-2018",
        licence="annotations CC BY 4.0; audio by track",
        source="https://zenodo.org/record/1432913",
        load=load_openmic2018,
        splits={"train": 14_915, "test": 5_085},
        checksums={"openmic-2018-v1.0.0.tgz": "md5:e4ccf187e2bb5ab2e115416e8aafe7f4"},
    ),
    "sonyc_ust": Entry(
        title="SONYC-UST V2.3",
        licence="CC BY 4.0",
        source="https://zenodo.org/record/3966543",
        load=load_sonyc_ust,
        splits={"all": 18_510},
        checksums={"annotations.csv": "md5:70b507b15bb4cfcce4870925302f276b"},
    ),
    "sonyc_ust_v1": Entry(
        title="SONYC-UST V1, development release",
        licence="CC BY 4.0",
        source="https://zenodo.org/record/2590742",
        load=load_sonyc_ust,
        splits={"all": 2_794},
    ),
    "speech_commands": Entry(
        title="Speech Commands V2",
        licence="CC BY 4.0",
        source="http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
        load=load_speech_commands,
        splits={"train": 84_843, "validation": 9_981, "test": 11_005},
        checksums={
            "speech_commands_v0.02.tar.gz": "sha256:af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58"
        },
        beside=("**/_background_noise_/*",),
    ),
    "vocal_imitation": Entry(
        title="Vocal Imitation Set v1.1",
        licence="CC BY 4.0; recordings by file",
        source="https://zenodo.org/record/1340763",
        load=load_vocal_imitation,
        splits={"imitation": 5_601, "reference": 302},
    ),
}
