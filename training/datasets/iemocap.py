"""IEMOCAP: acted and improvised dialogues of ten actors, one emotion per utterance.

Citation
    C. Busso and others, "IEMOCAP: Interactive emotional dyadic motion capture database", Language Resources and
    Evaluation 42 (2008), https://doi.org/10.1007/s10579-008-9076-6.
Source
    https://sail.usc.edu/iemocap/, by request
Licence
    The institute's agreement with each user: not redistributable, and nothing trained on it ships.
Checksum
    None published.
Content
    10,039 utterances at 16 kHz, mono, about 12 hours, in five sessions of two speakers (1,819, 1,811, 2,136, 2,103 and
    2,170 utterances). One label each, agreed on by annotators; a missing one is absent.
Folds
    The session, 1 to 5: leave one out. No speaker is in two.
Subsets
    "four" is the customary set of 5,531: angry 1,103, happy with excited 1,636, neutral 1,708, sad 1,084.
    "four_without_excited" has 4,490, happy 595. "all" has every code. What a subset leaves out is in ``dropped``.
Layout
    ``Session1`` ... ``Session5`` below the folder or below ``IEMOCAP_full_release`` or ``IEMOCAP`` in it;
    ``sentences/wav/DIALOGUE/UTTERANCE.wav`` and ``dialog/EmoEvaluation/DIALOGUE.txt``, whose lines that begin with "["
    are utterances. Subfolders there and macOS files ``._*`` are not.
    The first F or M of a name is the side that was recorded; the speaker is the one before the number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from engine.errors import ConfigError
from training.datasets.record import DataSet, Record
from training.datasets.table import on_disk, read_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EMOTIONS = {
    "ang": "angry",
    "dis": "disgusted",
    "exc": "excited",
    "fea": "fearful",
    "fru": "frustrated",
    "hap": "happy",
    "neu": "neutral",
    "oth": "other",
    "sad": "sad",
    "sur": "surprised",
    "xxx": "undecided",
}
FOUR = ("angry", "happy", "neutral", "sad")
LINE = re.compile(r"\[(\d+\.\d+) - (\d+\.\d+)\]\t((Ses0([1-5])[FM]_\w+)_([FM])\w*\d+)\t(\w+)\t\[.*\]")


def load_iemocap(root: Path, subset: Literal["four", "four_without_excited", "all"] = "four") -> DataSet:
    """Return the records of the sessions that are there, by session, dialogue and time.

    Raises
    ------
    ConfigError
        When no session is there, a line is none of the published format, or the subset is unknown.
    """
    if subset not in ("four", "four_without_excited", "all"):
        raise ConfigError(f"expected the subset four, four_without_excited or all, got {subset!r}; name one of them")
    merged = EMOTIONS | {"exc": "happy"} if subset == "four" else EMOTIONS
    labels = tuple(EMOTIONS.values()) if subset == "all" else FOUR
    folders = [root, root / "IEMOCAP_full_release", root / "IEMOCAP"]
    release = next((folder for folder in folders if any(folder.glob("Session[1-5]"))), None)
    if release is None:
        raise ConfigError(f"expected Session1 to Session5 in {root}, got none; point at the folder of the release")
    listed = [(record, merged[code]) for record, code in _utterances(release)]
    chosen, missing = on_disk(root, (_labelled(record, label) for record, label in listed if label in labels))
    others, _ = on_disk(root, (record for record, label in listed if label not in labels))
    dropped = tuple(record.path.relative_to(root).as_posix() for record in others)
    return DataSet("iemocap", labels, chosen, missing, dropped)


def _labelled(record: Record, label: str) -> Record:
    return Record(record.path, (label,), fold=record.fold, source=record.source, duration_s=record.duration_s)


def _utterances(release: Path) -> Iterator[tuple[Record, str]]:
    """Yield each utterance, without its label, and its code."""
    for session in sorted(release.glob("Session[1-5]")):
        tables = sorted(path for path in (session / "dialog" / "EmoEvaluation").glob("*.txt") if path.name[0] != ".")
        if not tables:
            raise ConfigError(f"expected dialog/EmoEvaluation/*.txt in {session}, got none; unpack the release again")
        for table in tables:
            for line in read_lines(table):
                if not line.startswith("["):
                    continue
                match = LINE.fullmatch(line)
                if match is None:
                    raise ConfigError(
                        f"expected [START - END], utterance, code in {table}, got {line!r}; unpack it again"
                    )
                start_s, end_s, name, dialogue, number, speaker, code = match.groups()
                if code not in EMOTIONS:
                    raise ConfigError(
                        f"expected one of the codes {list(EMOTIONS)} in {table}, got {code}; unpack it again"
                    )
                yield (
                    Record(
                        session / "sentences" / "wav" / dialogue / f"{name}.wav",
                        (),
                        fold=int(number),
                        source=f"Ses0{number}{speaker}",
                        duration_s=round(float(end_s) - float(start_s), 4),
                    ),
                    code,
                )
