"""Sounds that are like an example: queries of visitors, what they said of hits, and the hits themselves."""

from __future__ import annotations

import html
import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import soundfile

from engine.app.names import shown_name
from engine.app.pictures import thumbnail
from engine.app.upload import read_upload
from engine.audio import load
from engine.errors import ConfigError, EngineError
from engine.frontend import LogMel
from engine.index import Filters, Index
from engine.index.cuts import cut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from engine.index import Hit

N_SHOWN = 10
NONE, GOOD, BAD = "no mark", "good", "bad"
# Columns of a thumbnail.
_COLUMNS = 240


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What a visitor looks for.

    Attributes
    ----------
    vector : ndarray, shape (size,), or None
        Of an example that was given.
    item : int or None
        Of the index, when the example is one of its own.
    name : str
        What the page calls the example.
    marks : Mapping from item to mark
        What was said of hits so far.
    """

    vector: NDArray[np.float32] | None = None
    item: int | None = None
    name: str = ""
    marks: Mapping[int, str] = field(default_factory=dict)

    def marked(self, shown: Sequence[int], marks: Sequence[str]) -> Asked:
        """Return the query with the marks of the hits that are shown; one that is taken back is gone."""
        kept = {item: mark for item, mark in self.marks.items() if item not in shown}
        given = {item: mark for item, mark in zip(shown, marks, strict=False) if mark in (GOOD, BAD)}
        return replace(self, marks=kept | given)

    def items(self, mark: str) -> list[int]:
        """Return the items with a mark."""
        return [item for item, given in self.marks.items() if given == mark]


class Library:
    """An index, searched for visitors. Threads share it: nobody changes it.

    Parameters
    ----------
    folder : path
        Of an index, or of an archive with embeddings.
    shares_recordings : bool
        Whether hits come with sound, picture and path.

    Raises
    ------
    ConfigError
        There is no index, or its model is missing or compares by two towers.
    ArchiveError
        The index is damaged.
    """

    def __init__(self, folder: Path, *, shares_recordings: bool = True) -> None:
        self._index = Index.open(folder)
        self.shares_recordings = shares_recordings
        self.name = folder.name
        card = self._index.embedder.card
        if card.query is not None:
            raise ConfigError(
                f"expected an index of a model with one tower, {folder} is of {card.name!r}, which has two; use engine "
                "rank"
            )
        self.model = card.name
        self._rate = card.sample_rate
        self._log_mel = None if card.frontend is None else LogMel(card.frontend, warn_empty=False)
        lists = self._index.items["tags"].to_pylist()
        self.tags = sorted({tag for tags in lists for tag in tags or ()})
        self.n_recordings = len(self._index.items["recording_id"].unique())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._index.close()

    def __len__(self) -> int:
        return len(self._index)

    def ask(self, path: str, max_s: float) -> Asked:
        """Return the query of a visitor's recording; an AudioError where it cannot be read or is too long."""
        samples = read_upload(path, self._rate, max_s)
        return Asked(self._index.vector_of((samples, self._rate)), None, Path(path).name)

    def more_like(self, item: int) -> Asked:
        """Return the query of an item."""
        row = self._row(item)
        return Asked(None, item, f"{Path(row['path']).name} from {row['start_s']:.2f} s")

    def search(self, asked: Asked, k: int, offset: int, filters: Filters, *, one_per_recording: bool) -> list[Hit]:
        """Return hits ``offset + 1`` to ``offset + k``; parameters and errors as for ``Index.search``."""
        return self._index.search(
            asked.item if asked.vector is None else asked.vector,
            k,
            offset=offset,
            filters=filters,
            positives=asked.items(GOOD),
            negatives=asked.items(BAD),
            per_recording=1 if one_per_recording else None,
        )

    def wav(self, item: int) -> bytes:
        """Return the sound of an item as a WAV file.

        Raises
        ------
        ConfigError
            There is no such item, or its sound is not shared.
        AudioError
            The recording is no longer there.
        """
        if not self.shares_recordings:
            raise ConfigError("expected an app that shares recordings, got one that does not; start it otherwise")
        stream = io.BytesIO()
        samples, rate = self._cut(item)
        soundfile.write(stream, samples, rate, format="WAV", subtype="PCM_16")
        return stream.getvalue()

    def hit_html(self, hit: Hit, address: str) -> str:
        """Return a hit for the page: where it is, how near, its picture, and a player of ``address``."""
        name, tags = html.escape(Path(hit.path).name), html.escape(", ".join(hit.tags))
        facts = [f"score {hit.score:.3f}", f"{hit.start_s:.2f} to {hit.end_s:.2f} s", *([tags] if tags else [])]
        lines = [f"<h3>{hit.rank}. {name}</h3>", f"<p>{' · '.join(facts)}</p>"]
        picture = ""
        if self.shares_recordings:
            try:
                picture = self._picture(hit)
            except EngineError as error:
                lines.append(f'<p class="problem">{html.escape(str(error))}</p>')
            else:
                said = f"Hit {hit.rank}: {name} from {hit.start_s:.2f} s"
                lines.append(f'<audio controls preload="none" src="{address}" aria-label="{said}"></audio>')
            lines.append(f'<p class="path">{html.escape(shown_name(hit.path, whole=True))}</p>')
        return f'<article class="hit">{picture}<div>{"".join(lines)}</div></article>'

    def _picture(self, hit: Hit) -> str:
        if self._log_mel is None:
            return ""
        samples, _ = load(self._cut(hit.item), self._rate)
        log_mel = self._log_mel(samples)
        if not len(log_mel):
            return ""
        starts = np.unique(np.linspace(0, len(log_mel), min(_COLUMNS, len(log_mel)), endpoint=False).astype(np.int64))
        return thumbnail(np.maximum.reduceat(log_mel, starts, axis=0), f"Spectrogram of hit {hit.rank}")

    def _cut(self, item: int) -> tuple[NDArray[np.float32], int]:
        row = self._row(item)
        return cut(row["path"], row["start_s"], row["end_s"])

    def _row(self, item: int) -> dict[str, Any]:
        if not 0 <= item < len(self._index):
            raise ConfigError(f"expected an item from 0 to {len(self._index) - 1}, got {item}; search again")
        (row,) = self._index.items.slice(item, 1).to_pylist()
        return row  # type: ignore[no-any-return]


def filters_of(
    tags: Sequence[str], path: str, least_s: float | None, most_s: float | None, *, others_only: bool
) -> Filters:
    """Return the filters of the page's controls; a word alone is looked for anywhere in the path."""
    word = path.strip()
    pattern = word if not word or any(sign in word for sign in "*?[") else f"*{word}*"
    return Filters(
        tags=tuple(tags),
        paths=(pattern,) if pattern else (),
        min_duration_s=least_s or None,
        max_duration_s=most_s or None,
        exclude_same_recording=others_only,
    )


def found_text(asked: Asked, hits: Sequence[Hit], offset: int) -> str:
    """Return one sentence on what was found."""
    marks = [f"{len(asked.items(mark))} marked {mark}" for mark in (GOOD, BAD) if asked.items(mark)]
    how = f" with {' and '.join(marks)}" if marks else ""
    if not hits:
        more = "no more hits" if offset else "nothing: loosen the filters"
        return f"Like {asked.name}{how}: {more}."
    return f"Like {asked.name}{how}: hits {hits[0].rank} to {hits[-1].rank}, the most alike first."
