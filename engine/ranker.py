"""Ranking recordings by a query, such as a vocal imitation: the third verb over a model."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from engine.audio import open_audio
from engine.distance import pairwise
from engine.errors import ConfigError, ModelError
from engine.library import Reference, References, items_at, paths_of
from engine.model import Model
from engine.network import mean_embedding
from engine.ranks import average_ranks
from engine.take import TRIM_DB, check_trim, prepared_take
from engine.two_tower import TwoTower

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from types import TracebackType

    from numpy.typing import NDArray

    from engine.card import ModelCard
    from engine.library import Library

Takes = Literal["average", "fuse"]
# Rows of a stored library that are read at a time.
ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class Ranked:
    """A reference in its place.

    Attributes
    ----------
    rank : float
        From 1; the mean of their places where several have the same score.
    n_tied : int
        How many others have the same score.
    score : float
        The model's similarity, or the cosine for a model without towers.
    path : str
    start_s, end_s : float
    tags : tuple of str
    """

    rank: float
    n_tied: int
    score: float
    path: str
    start_s: float
    end_s: float
    tags: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain Python values, ready for JSON."""
        return asdict(self) | {"tags": list(self.tags)}


class Ranker:
    """Puts recordings in the order of their likeness to a query. Threads may share one, and it can be pickled.

    With a model of two towers, references go through one of them when they are encoded; a query goes through the
    other, once, and the head compares it with all of them in batches. Any other model with an embedding ranks by the
    cosine.

    Parameters
    ----------
    model : str, path or None
        The name of an installed model or the path of an .onnx file with a card; None is the shipped default.
    device, threads
        As for ``engine.Embedder``.

    Raises
    ------
    ModelError
        The model cannot be used, or gives no embedding.
    DeviceError
        The device was asked for by name and cannot run here.

    Attributes
    ----------
    towers : TwoTower or None
        The parts of a model of two towers.

    Examples
    --------
    >>> ranker = Ranker()
    >>> references = ranker.encode(["examples/rain.flac"])
    >>> [(place.rank, place.path) for place in ranker.rank("examples/rain.flac", references)]
    [(1.0, 'examples/rain.flac')]
    """

    def __init__(
        self, model: str | os.PathLike[str] | None = None, device: str = "auto", threads: int | None = None
    ) -> None:
        self._reference = Model.open(model, device, threads)
        if self.card.embedding_size is None:
            raise ModelError(
                f"expected a model of two towers, or one with an embedding, {self.card.name!r} has neither; use "
                "engine.Tagger"
            )
        self.towers = None if self.card.query is None else TwoTower(self._reference.session, self.card)
        # A model that takes rows instead of sound says so now.
        _ = self._reference.sample_rate

    @property
    def card(self) -> ModelCard:
        """What the model says about itself."""
        return self._reference.card

    @property
    def device(self) -> str:
        """Where the network runs: "cpu" or "cuda:N", read back from the runtime."""
        return self._reference.device

    @property
    def threads(self) -> int:
        """How many threads one call may use."""
        return self._reference.threads

    @property
    def has_towers(self) -> bool:
        """Whether the model was made to compare; otherwise the cosine of its embeddings does."""
        return self.towers is not None

    def encode(self, sources: Iterable[Any], *, channel: int | None = None) -> References:
        """Return references encoded by the reference tower, one vector for each of their windows.

        Parameters
        ----------
        sources : iterable of path, bytes, binary file, (samples, sample_rate) or {"array", "sampling_rate"}
        channel : int or None
            The channel to take; None averages all.

        Raises
        ------
        AudioError
            A recording is unreadable, empty or not finite.
        ConfigError
            There is none.
        """
        items, vectors = [], []
        for source in sources:
            clip = self._reference(source, channel=channel)
            for window in clip.windows:
                assert window.embedding is not None
                items.append(Reference(clip.path or "", window.start_s, window.end_s))
                vectors.append(window.embedding)
        if not vectors:
            raise ConfigError("expected one reference or more, got none; name some")
        return References(tuple(items), np.stack(vectors), self.card.model_sha256)

    def embedding(
        self, query: Any, *, trim_db: float | None = TRIM_DB, channel: int | None = None
    ) -> NDArray[np.float32]:
        """Return what a query, one take of it, is compared by: prepared, and through the query tower.

        Parameters and errors as for ``scores``.
        """
        check_trim(trim_db)
        tower = self._reference if self.towers is None else self.towers.query
        rate = tower.sample_rate
        with open_audio(query, rate, channel) as reader:
            label = reader.label
            samples = np.concatenate(list(reader.blocks(rate)))
        clip = tower((prepared_take(samples, rate, trim_db, label), rate))
        assert clip.embedding is not None
        return clip.embedding

    def scores(
        self,
        query: Any,
        library: Library,
        *,
        takes: Takes = "average",
        trim_db: float | None = TRIM_DB,
        channel: int | None = None,
    ) -> NDArray[np.float32]:
        """Return the similarity of a query to every vector of a library.

        Parameters
        ----------
        query : source, or list of sources
            A path, bytes, a binary file, (samples, sample_rate) or {"array", "sampling_rate"}; a list of them are
            several takes of one query. Each take loses the silence around it and its level (``engine.take``); one
            longer than the model's window is encoded window by window, and the mean taken.
        library : Index or References
            Encoded by this model.
        takes : str
            Several takes: "average" compares the mean of their embeddings, one pass of the head; "fuse" compares each
            and takes the mean of their scores.
        trim_db : float or None
            How far under its loudest moment a take counts as silent, at its ends; None trims nothing.
        channel : int or None
            The channel of the query to take; None averages all.

        Returns
        -------
        ndarray, shape (n,), float32

        Raises
        ------
        AudioError
            A take is unreadable, empty, silent or not finite.
        ModelError
            The library was encoded by another model.
        ConfigError
            No take, or an option that is out of range.
        """
        if takes not in ("average", "fuse"):
            raise ConfigError(f"expected takes to be 'average' or 'fuse', got {takes!r}; choose one of them")
        check_trim(trim_db)
        self._check_library(library)
        sources = query if isinstance(query, list) else [query]
        if not sources:
            raise ConfigError("expected one take of the query or more, got none; name some")
        embeddings = [self.embedding(source, trim_db=trim_db, channel=channel) for source in sources]
        if takes == "average":
            embeddings = [mean_embedding(embeddings, normalised=self.card.embedding_normalised)]
        vectors = library.vectors
        fused = np.zeros(len(vectors), np.float64)
        for start in range(0, len(vectors), ROWS):
            rows = np.ascontiguousarray(vectors[start : start + ROWS], np.float32)
            for embedding in embeddings:
                fused[start : start + ROWS] += self._compared(embedding, rows)
        return (fused / len(embeddings)).astype(np.float32)

    def rank(
        self,
        query: Any,
        library: Library,
        *,
        top_k: int | None = None,
        per_recording: int | None = None,
        **options: Any,
    ) -> list[Ranked]:
        """Return a library's items in the order of their similarity to a query, the most alike first.

        Parameters
        ----------
        query, library
            As for ``scores``.
        top_k : int or None
            How many to give; all by default. Equal scores come in the library's order, with equal ranks.
        per_recording : int or None
            How many windows of one recording to give at most, the best ones; all by default. They keep the ranks that
            they have among all.
        **options
            ``takes``, ``trim_db`` and ``channel``, as for ``scores``.

        Raises
        ------
        AudioError, ModelError, ConfigError
            As for ``scores``.
        """
        for name, value in (("top_k", top_k), ("per_recording", per_recording)):
            if value is not None and (type(value) is not int or value < 1):
                raise ConfigError(f"expected {name} to be a whole number from 1, got {value!r}; correct it")
        scores = self.scores(query, library, **options)
        ranks, n_tied = average_ranks(scores)
        order = np.argsort(-scores, kind="stable")
        if per_recording is not None:
            order = order[_first_of_each(paths_of(library.items), order, per_recording)]
        order = order[:top_k]
        return [
            Ranked(float(ranks[i]), int(n_tied[i]), float(scores[i]), item.path, item.start_s, item.end_s, item.tags)
            for i, item in zip(order, items_at(library.items, order), strict=True)
        ]

    def warmup(self) -> None:
        """Run a window of silence through either tower, so that the first query is no slower than the next ones."""
        self._reference.warmup()
        if self.towers is not None:
            self.towers.query.warmup()

    def close(self) -> None:
        """Let go of the model and its memory; a call after that is a ModelError."""
        self._reference.close()
        if self.towers is not None:
            self.towers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.card.name!r}, device={self.device!r}, threads={self.threads})"

    def _compared(self, query: NDArray[np.float32], rows: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.towers is not None:
            return self.towers.similarities(query, rows)
        distances = pairwise(query[np.newaxis], rows, "cosine", threads=self.threads)[0]
        cosines: NDArray[np.float32] = np.float32(1) - distances
        return cosines

    def _check_library(self, library: Library) -> None:
        if library.model_sha256 != self.card.model_sha256:
            raise ModelError(
                f"expected a library encoded by {self.card.name!r} (model_sha256 {self.card.model_sha256[:12]}), got "
                f"one of the model {library.model_sha256[:12] or 'unknown'}; encode it with this model, or rank with "
                "that one"
            )
        if self.has_towers and library.normalised:
            raise ModelError(
                f"expected vectors as the reference tower of {self.card.name!r} gave them, got a library that keeps "
                "them at length one (an archive, or the metric 'cosine'); make an index of the recordings instead, "
                "with the metric 'inner_product'"
            )


def _first_of_each(paths: list[str], order: NDArray[np.intp], n: int) -> NDArray[np.bool_]:
    """Return which places of the order are among the first ``n`` of their recording; sound without a path is kept."""
    seen: Counter[str] = Counter()
    kept = np.ones(len(order), bool)
    for place, item in enumerate(order):
        path = paths[item]
        seen[path] += 1
        kept[place] = not path or seen[path] <= n
    return kept
