"""More sounds that are none of a model's labels: clips of another data set, and what YAMNet says of all of them.

Clips are dealt to the halves by their source, speaker or Freesound recording, in the order of the sources' names.

What YAMNet says of the recordings that ``training.examine.outside`` lists (the highest window's score of the classes of
each ESC-10 label, ``training.examine.yamnet_peer.CLASSES``): on 100 of 112 no label reaches 0.1. Rain reaches 0.75 in
the humpback's hydrophone, and 0.35, 0.27 and 0.14 in three evening recordings of the day (22:15, 17:30 and 18:45)
whose power above 3 kHz, where rain would hiss, is within about a decibel of the still night's; they thump below 1 kHz,
and YAMNet hears thunder. Waves reach 0.25 in wind, a sneeze 0.11 in breathing; dog, rooster, baby, helicopter,
chainsaw, clock and fire do not reach 0.1 anywhere. So nothing was left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from engine import Tagger
from training.examine.outside import HALVES, Outside
from training.examine.yamnet_peer import by_classes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from training.datasets.record import Record


def clips_outside(kind: str, records: Sequence[Record]) -> list[Outside]:
    """Return the first clip of each source, sources dealt to the halves in turn.

    Parameters
    ----------
    kind : str
        What a table calls them: "spoken words", "sounds of ESC-10".
    records : sequence of Record
        Of which none has a label of the model.
    """
    first: dict[str, Record] = {}
    for record in sorted(records, key=lambda record: record.path.as_posix()):
        first.setdefault(record.source, record)
    return [
        Outside(kind, HALVES[i % 2], first[name].path.name, first[name].path) for i, name in enumerate(sorted(first))
    ]


def target_scores(yamnet: Path, sounds: Sequence[Outside]) -> dict[str, dict[str, float]]:
    """Return for each sound the highest window's score of each label of ESC-10, by YAMNet's own classes.

    A high one is a reason to listen: YAMNet takes noise for rain and thumps for thunder.

    Parameters
    ----------
    yamnet : Path
        As ``training.examine.yamnet_peer.convert_yamnet`` writes it.
    sounds : sequence of Outside
    """
    found = {}
    with Tagger(yamnet, device="cpu", threads=1) as tagger:
        for sound in sounds:
            clip = by_classes(tagger(sound.sound))
            highest = np.max([window.scores for window in clip.windows], axis=0)
            found[sound.name] = dict(zip(clip.labels, highest.tolist(), strict=True))
    return found
