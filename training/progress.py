"""What a command shows of a long loop: a bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

ItemT = TypeVar("ItemT")


class Lines:
    """Log lines as they come, and no bar: for files and pipes.

    Parameters
    ----------
    stream : text file
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def echo(self, line: str) -> None:
        """Write one line."""
        self.stream.write(line + "\n")
        self.stream.flush()

    def bar(self, items: Iterable[ItemT], description: str) -> Iterable[ItemT]:  # noqa: ARG002 - as Bars has it
        """Return the items as they are."""
        return items


class Bars(Lines):
    """A bar per loop, with the log lines above it: for terminals."""

    def echo(self, line: str) -> None:
        """Write one line above the bar."""
        from tqdm import tqdm

        tqdm.write(line, file=self.stream)

    def bar(self, items: Iterable[ItemT], description: str) -> Iterable[ItemT]:
        """Return the items, and show how many are done and how long the others will take."""
        from tqdm import tqdm

        return tqdm(items, desc=description, file=self.stream, leave=False, dynamic_ncols=True)


def shown_on(stream: TextIO) -> Lines:
    """Return what suits ``stream``: ``Bars`` for a terminal, ``Lines`` for anything else."""
    return Bars(stream) if stream.isatty() else Lines(stream)


def unseen(items: Iterable[ItemT], description: str) -> Iterable[ItemT]:  # noqa: ARG001 - as a bar takes it
    """Return the items as they are: the bar of a library, which shows nothing."""
    return items


if TYPE_CHECKING:
    Bar = Callable[[Iterable[ItemT], str], Iterable[ItemT]]
