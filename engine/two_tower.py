"""A network of two towers in use: queries through one, references through the other, pairs of both through the head.

The file holds the whole network as one graph. It is cut at the two embeddings, so that each is computed once, however
many pairs it is part of.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from engine.card import read_card
from engine.card_fields import shown
from engine.card_parts import ModelOutputs
from engine.errors import ModelError
from engine.model import Model
from engine.structure import PORT_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from engine.card import ModelCard
    from engine.session import Session

# References in one call of the head: 40 MB of float32 where each has 2,400 numbers.
HEAD_BATCH = 4096


class TwoTower:
    """The three parts of a network of two towers. Threads may share it.

    Parameters
    ----------
    session : Session
        Of the whole graph, or of any part of it.
    card : ModelCard
        With a query tower.

    Attributes
    ----------
    card : ModelCard
    query, reference : Model
        Sound to embeddings. The query tower's card is one that was made up for it, without hashes.

    Raises
    ------
    ModelError
        The graph is not what the card says.
    """

    def __init__(self, session: Session, card: ModelCard) -> None:
        tower, embedding = card.query, card.outputs.embedding
        if tower is None or embedding is None:
            raise ModelError(
                f"expected a model of two towers, {card.name!r} has one; use engine.Ranker, which takes the cosine then"
            )
        self.card = card
        self.reference = Model(session, card)
        self.query = Model(session.cut((tower.input.name,), (tower.embedding.name,)), query_card(card))
        self._head = session.cut((tower.embedding.name, embedding.name), (tower.similarity,))
        self._query_name, self._reference_name = tower.embedding.name, embedding.name
        self._similarity = tower.similarity
        self._check_head()

    def __reduce__(self) -> tuple[Callable[[Session, ModelCard], TwoTower], tuple[Session, ModelCard]]:
        return _opened_again, (self.reference.session, self.card)

    def similarities(self, query: NDArray[np.float32], references: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the similarity of one query to each reference.

        Parameters
        ----------
        query : ndarray, shape (query_size,), float32
            As the query tower gave it.
        references : ndarray, shape (n, embedding_size), float32
            As the reference tower gave them; may be memory-mapped, they are read in batches.

        Returns
        -------
        ndarray, shape (n,), float32

        Raises
        ------
        ModelError
            The head gave something else than one finite number for each reference.
        """
        batch = query[np.newaxis]
        found = [np.zeros(0, np.float32)]
        for start in range(0, len(references), HEAD_BATCH):
            part = np.ascontiguousarray(references[start : start + HEAD_BATCH])
            (values,) = self._head.run([self._similarity], {self._query_name: batch, self._reference_name: part})
            if values.shape != (len(part),) or not np.isfinite(values).all():
                raise ModelError(
                    f"expected {len(part)} finite similarities of {self.card.name!r}, got the shape {values.shape}, or "
                    "NaN or infinity; export the model again"
                )
            found.append(values)
        return np.concatenate(found)

    def _check_head(self) -> None:
        """Refuse a head that does not take one query beside any number of references."""
        (similarity,) = self._head.outputs
        axes = {port.name: port.shape[0] if port.shape else None for port in self._head.inputs}
        fits = len(similarity.shape) == 1 and similarity.type == PORT_TYPES["float32"]
        fits = fits and not isinstance(axes[self._reference_name], int)
        query = axes[self._query_name]
        if not fits or (isinstance(query, int) and query != 1):
            raise ModelError(
                f"expected the similarity {self._similarity!r} to be float32 of shape (batch,) for any batch, "
                f"got {similarity.type} {shown(similarity.shape)} for {shown(axes)}; export the network with "
                "free batch axes"
            )

    def close(self) -> None:
        """Let go of the three parts and their memory; a call after that is a ModelError."""
        for part in (self.query, self.reference, self._head):
            part.close()


def query_card(card: ModelCard) -> ModelCard:
    """Return a card for the query tower as if it were an embedder of its own; without hashes and golden check."""
    tower = card.query
    assert tower is not None
    return replace(
        card,
        task="embed",
        frontend=tower.frontend,
        input=tower.input,
        outputs=ModelOutputs(embedding=tower.embedding),
        window=tower.window,
        hop=tower.window,
        reduce="mean",
        embedding_size=tower.embedding_size,
        query=None,
        golden=None,
        model_sha256="",
        card_sha256="",
    )


def _opened_again(session: Session, card: ModelCard) -> TwoTower:
    """Return the towers from a pickle; their file may be another one by now."""
    if read_card(session.metadata) != card:
        raise ModelError(
            f"expected the model {card.name!r} that was pickled, its file has changed since; open it again"
        )
    return TwoTower(session, card)
