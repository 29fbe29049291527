"""Archives: many recordings to tags and embeddings in Parquet tables, resumable, with nothing lost.

>>> from engine.archive import run
"""

from __future__ import annotations

from engine.archive.formats import write_results
from engine.archive.items import Item
from engine.archive.plot import plot_activity
from engine.archive.read import Archive, open_archive
from engine.archive.run import Summary, run
from engine.archive.scan import scan
from engine.archive.summary import ArchiveSummary, summarise
from engine.archive.supervisor import Progress

__all__ = [
    "Archive",
    "ArchiveSummary",
    "Item",
    "Progress",
    "Summary",
    "open_archive",
    "plot_activity",
    "run",
    "scan",
    "summarise",
    "write_results",
]
