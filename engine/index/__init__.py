"""Search by example: an index of embeddings on disk, exact search by the distance kernels, filters and feedback.

>>> from engine import Index
>>> hits = Index.open("lib.index").search("hum.wav", k=5)  # doctest: +SKIP
"""

from engine.index.filters import Filters
from engine.index.hits import Hit
from engine.index.index import Index
from engine.index.keep import Change

__all__ = ["Change", "Filters", "Hit", "Index"]
