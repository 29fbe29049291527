"""Bringing an index up to date with files: what is new or changed is embedded, the rest is not read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.index.encode import encoded
from engine.index.items import rows
from engine.index.query import unit
from engine.index.sources import known_sources, work_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from engine.index.contents import Contents


@dataclass(frozen=True)
class Change:
    """What ``add`` or ``update`` did to the recordings of an index.

    Attributes
    ----------
    added, changed, removed, missing : tuple of str
        Paths; missing ones are no longer there and were kept (of ``update``; ``add`` does not look for them).
    n_unchanged : int
        Those that were not read again.
    failed : tuple of (path, sentence)
        Those that could not be used; what the index had of them stays.
    """

    added: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    n_unchanged: int = 0
    failed: tuple[tuple[str, str], ...] = ()


def bring_up_to_date(
    contents: Contents,
    embedder: Any,
    paths: Iterable[Path],
    tags: Sequence[str] | Callable[[str], Sequence[str]],
    progress: Callable[[int], object] | None,
    *,
    all_of_them: bool = False,
) -> Change:
    """Embed the files that are new or have changed; parameters as for ``Index.add``.

    What could not be embedded keeps the items that it had. Where the files are all that there should be, the other
    recordings of the index are looked for.
    """
    known, n_before = known_sources(contents.items), contents.n_appended
    work = work_for(paths, known, tags)
    others = known.keys() - work.seen if all_of_them else ()
    missing = tuple(sorted(name for name in others if not Path(name).exists()))
    contents.touch(work.touched)
    added: list[str] = []
    changed: list[str] = []
    for n_done, (name, clip) in enumerate(encoded(embedder, contents.header, list(work.wanted)), start=1):
        if clip.error is not None:
            work.failed.append((name, str(clip.error)))
        else:
            (changed if name in known else added).append(name)
            source = work.wanted[name]
            vectors = np.stack([np.asarray(window.embedding, np.float32) for window in clip.windows])
            contents.append(
                unit(vectors) if contents.header.metric == "cosine" else vectors,
                rows(clip, name, source.recording_id, source.tags, source.state),
            )
        if progress is not None:
            progress(n_done)
    contents.drop(changed, n_before)
    return Change(tuple(added), tuple(changed), (), missing, work.n_unchanged, tuple(work.failed))
