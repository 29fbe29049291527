"""The index: vectors of recordings on disk, kept up to date and searched."""

from __future__ import annotations

import glob
import os
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from engine.archive.durable import writing
from engine.embedder import Embedder
from engine.errors import ConfigError
from engine.index.approximate import build as build_approximate
from engine.index.approximate import file_of
from engine.index.check import verify
from engine.index.contents import Contents
from engine.index.encode import encode
from engine.index.export import to_lancedb
from engine.index.filters import Filters
from engine.index.gather import gathered
from engine.index.items import schema
from engine.index.keep import Change, bring_up_to_date
from engine.index.layout import check_model, header_for, write_version
from engine.index.query import Query, unit
from engine.index.search import ranked
from engine.index.sources import known_sources
from engine.scan import find_audio

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from types import TracebackType

    from numpy.typing import NDArray

    from engine.distance import Metric
    from engine.index.hits import Hit
    from engine.index.layout import Header


class Index:
    """Vectors of recordings, one for each window; made by ``create`` and ``open``.

    What ``add``, ``update`` and ``remove`` change is searched at once and kept by ``save``. One process may write while
    others read: they go on with the version that they opened. Threads may share an index that none of them changes.

    Examples
    --------
    >>> import tempfile
    >>> with Index.create(tempfile.mkdtemp() + "/lib.index") as index:
    ...     change = index.add(["examples"])
    ...     index.save()
    ...     hits = index.search("examples/rain.flac", k=2)
    >>> [Path(hit.path).name for hit in hits]
    ['rain.flac', 'sea_waves.flac']
    """

    def __init__(self, folder: Path, embedder: Any = None) -> None:
        self.folder = folder
        self._embedder = embedder
        self._contents = Contents(folder)
        if embedder is not None:
            check_model(self.header, embedder.card, folder)

    @classmethod
    def create(
        cls,
        folder: str | os.PathLike[str],
        embedder: Any = None,
        metric: Metric | None = None,
        *,
        window_s: float | None = None,
        hop_s: float | None = None,
    ) -> Self:
        """Make an empty index.

        Parameters
        ----------
        folder : path
            New or empty.
        embedder : Embedder, Tagger, name or path of a model, or None
            Whose embeddings are kept; None is the shipped model. Anything with a ``card`` that turns a recording into
            a ``Clip`` with embeddings will do.
        metric : {"cosine", "euclidean", "sqeuclidean", "inner_product"} or None
            With "cosine" the vectors are kept at length one. None is "cosine", for a model of two towers
            "inner_product": ``engine.Ranker`` compares its vectors as they are.
        window_s, hop_s : float or None
            How recordings are cut; the card's by default.

        Raises
        ------
        ConfigError
            The folder holds something, or the model has no embedding.
        """
        path = Path(folder)
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ConfigError(f"expected a new or empty folder, got {path}; choose another or update the index in it")
        embedder = _embedder(embedder)
        header = header_for(embedder.card, metric, window_s, hop_s)
        with writing(path):
            path.mkdir(parents=True, exist_ok=True)
        write_version(path, header, iter(()), schema().empty_table())
        return cls(path, embedder)

    @classmethod
    def open(cls, folder: str | os.PathLike[str], embedder: Any = None) -> Self:
        """Open an index, or the folder of an archive run with embeddings, whose vectors are gathered on first use.

        Parameters
        ----------
        folder : path
        embedder : as for ``create``
            Needed for queries that are sound, and to add recordings; None opens the model by its name then.

        Raises
        ------
        ConfigError
            There is no index, or it was made with another model or front end.
        ArchiveError
            Its files are damaged.
        """
        return cls(gathered(Path(folder)), None if embedder is None else _embedder(embedder))

    @property
    def header(self) -> Header:
        """The model, the metric and the version."""
        return self._contents.header

    @property
    def model_sha256(self) -> str:
        """Of the model whose vectors these are."""
        return self.header.model_sha256

    @property
    def normalised(self) -> bool:
        """Whether the vectors were brought to length one."""
        return self.header.metric == "cosine"

    @property
    def vectors(self) -> NDArray[np.float32]:
        """The vectors, shape (n_items, size); memory-mapped and read-only unless there are unsaved changes."""
        return self._contents.vectors

    @property
    def items(self) -> Any:
        """A pyarrow table, one row for each vector: see ``engine.index.items.schema``."""
        return self._contents.items

    @property
    def embedder(self) -> Any:
        """What turns sound into vectors; a ConfigError where the model of the index is not there."""
        if self._embedder is None:
            embedder = Embedder(self.header.model)
            check_model(self.header, embedder.card, self.folder)
            self._embedder = embedder
        return self._embedder

    def __len__(self) -> int:
        return len(self.items)

    def add(
        self,
        sources: Iterable[str | os.PathLike[str]],
        tags: Sequence[str] | Callable[[str], Sequence[str]] = (),
        progress: Callable[[int], object] | None = None,
    ) -> Change:
        """Embed recordings that the index does not have; what it has and is unchanged is not read again.

        Parameters
        ----------
        sources : iterable of path
            Files, folders and patterns, as for ``engine tag``.
        tags : sequence of str, or callable
            Of all new recordings, or what gives those of a path.
        progress : callable, optional
            Called with the number of recordings that were embedded.
        """
        names = tuple(os.path.abspath(os.fspath(source)) for source in sources)  # noqa: PTH100 - patterns are no paths
        self._contents.begin()
        inputs = tuple(dict.fromkeys([*self.header.inputs, *names]))
        self._contents.header = replace(self.header, inputs=inputs)
        return bring_up_to_date(self._contents, self.embedder, find_audio(names), tags, progress)

    def update(self, *, prune: bool = False, progress: Callable[[int], object] | None = None) -> Change:
        """Look through the inputs again: embed new files and those whose content has changed.

        A file of the same size and time is taken as unchanged without being read; one with another time and the same
        bytes keeps its vectors.

        Parameters
        ----------
        prune : bool
            Whether recordings that are no longer there are removed.
        progress : callable, optional
            As for ``add``.
        """
        self._contents.begin()
        there = [name for name in self.header.inputs if Path(name).exists()]
        patterns = [name for name in self.header.inputs if glob.has_magic(name) and glob.glob(name, recursive=True)]  # noqa: PTH207
        change = bring_up_to_date(
            self._contents,
            self.embedder,
            find_audio(dict.fromkeys([*there, *patterns])),
            (),
            progress,
            all_of_them=True,
        )
        if not prune:
            return change
        self._contents.drop(change.missing)
        return replace(change, removed=change.missing, missing=())

    def remove(self, patterns: Iterable[str]) -> tuple[str, ...]:
        """Remove the recordings whose paths match, and return them; a ConfigError where a pattern matches none."""
        self._contents.begin()
        known, gone = known_sources(self.items), dict[str, None]()
        for pattern in patterns:
            absolute = os.path.abspath(pattern)  # noqa: PTH100 - patterns are no paths
            matching = [path for path in known if fnmatch(path, pattern) or fnmatch(path, absolute)]
            if not matching:
                raise ConfigError(f"expected recordings that match {pattern!r}, got none in {self.folder}; see info")
            gone.update(dict.fromkeys(matching))
        self._contents.drop(gone)
        return tuple(gone)

    def save(self) -> None:
        """Keep the changes: the folder holds the version before until all of the new one is written."""
        self._contents.save()

    def search(  # noqa: PLR0913 - one for each option
        self,
        query: Any = None,
        k: int = 10,
        *,
        offset: int = 0,
        filters: Filters | None = None,
        positives: Sequence[Any] = (),
        negatives: Sequence[Any] = (),
        refine: str = "rocchio",
        per_recording: int | None = None,
        collapse: float | None = None,
        target: float | None = None,
        approximate: bool = False,
        threads: int = 1,
    ) -> list[Hit]:
        """Return the items nearest to a query, nearest first.

        The search is exact: the ranking is that of a brute force in double precision.

        Parameters
        ----------
        query : recording, ndarray of shape (size,), item number (int) or None
            None where there are ``positives``. Several queries at once: ``search_many``.
        k : int
        offset : int
            How many hits to leave out before the first: pages of one search.
        filters : Filters or None
            Which items may be found.
        positives, negatives : sequence of what a query may be
            More of this, less of that.
        refine : {"rocchio", "probe"}
            How they change the search: the query is moved (Rocchio 1971), or a linear classifier of both ranks.
        per_recording : int or None
            Hits of one recording at most.
        collapse : float or None
            An item whose cosine with a hit before it is at least this, or that has the same bytes at the same place, is
            counted in that hit's ``n_alike`` instead.
        target : float or None
            Rank by nearness to this score: near, but not too near.
        approximate : bool
            Take candidates from the faiss file that ``engine index approximate`` builds, and rank them exactly.
        threads : int

        Raises
        ------
        ConfigError
            A query of another size, an option out of range, or options that exclude each other.
        AudioError
            A query that cannot be read.
        """
        return self.search_many(
            [query],
            k,
            offset=offset,
            filters=filters,
            positives=positives,
            negatives=negatives,
            refine=refine,
            per_recording=per_recording,
            collapse=collapse,
            target=target,
            approximate=approximate,
            threads=threads,
        )[0]

    def search_many(
        self,
        queries: Sequence[Any],
        k: int = 10,
        *,
        filters: Filters | None = None,
        positives: Sequence[Any] = (),
        negatives: Sequence[Any] = (),
        refine: str = "rocchio",
        **options: Any,
    ) -> list[list[Hit]]:
        """Return the hits of several queries, each as from ``search``, in one pass over the vectors."""
        made = [
            Query.of(self._contents, self.vector_of, query, positives=positives, negatives=negatives, refine=refine)
            for query in queries
        ]
        return ranked(self._contents, made, k, filters=filters or Filters(), **options)

    def vector_of(self, query: Any) -> NDArray[np.float32]:
        """Return the vector of a recording, of an item (its number), or a vector itself, as the index keeps them."""
        if isinstance(query, int | np.integer):
            if not 0 <= query < len(self):
                raise ConfigError(
                    f"expected an item from 0 to {len(self) - 1}, got {query}; search again for its number"
                )
            return np.array(self.vectors[query])
        if isinstance(query, np.ndarray):
            vector = np.asarray(query, np.float32)
        else:
            vector = np.asarray(encode(self.embedder, self.header, query).embedding, np.float32)
        if vector.shape != (self.header.size,) or not np.isfinite(vector).all():
            raise ConfigError(
                f"expected a finite vector of {self.header.size} numbers, got shape {vector.shape}; embed it"
            )
        return unit(vector[None])[0] if self.header.metric == "cosine" else vector

    def verify(self) -> None:
        """Read every byte; an ArchiveError where a file was changed, or a vector is not one that the index keeps."""
        verify(self._contents)

    @property
    def has_approximate(self) -> bool:
        """Whether there is a faiss file of the present vectors; a search builds it where there is none."""
        return file_of(self._contents).exists()

    def build_approximate(self) -> float:
        """Build the faiss file beside the vectors, and return its recall at 10 after exact ranking.

        Raises
        ------
        ConfigError
            faiss is missing, the index is empty, or it has unsaved changes.
        """
        return build_approximate(self._contents)

    def export_lancedb(self, uri: str, *, overwrite: bool = False) -> int:
        """Write items and vectors as the table "items" of LanceDB at a URI, and return the number of its rows.

        Raises
        ------
        ConfigError
            lancedb is missing, or the table exists.
        ArchiveError
            It cannot be written.
        """
        return to_lancedb(self._contents, uri, overwrite=overwrite)

    def close(self) -> None:
        """Let go of the index; unsaved changes are lost."""
        self._contents.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _embedder(given: Any) -> Any:
    return Embedder(given) if given is None or isinstance(given, str | os.PathLike) else given
