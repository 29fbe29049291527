"""One recording of an archive, from its bytes to windows that are ready for the network, and what is known of it."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.archive.meter import Meter
from engine.archive.recorded import recorded_at
from engine.archive.tables import FileRow
from engine.archive.uri import is_url, member_of
from engine.audio import AudioReader, open_recording
from engine.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from engine.archive.items import Item, Opener
    from engine.archive.settings import ArchiveSettings
    from engine.listener import Prepared
    from engine.model import Model

BLOCK_SAMPLES = 1 << 16


class Decoded(NamedTuple):
    """A window for the network, and when its recording began by the recorder's clock, where known."""

    prepared: Prepared
    recorded_at: datetime | None


class Turns:
    """Lets threads do something one after another, by number from 0; whoever waits for a turn must take all of them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._now = 0

    @contextlib.contextmanager
    def taken(self, number: int) -> Iterator[None]:
        """Wait for a turn, and pass it on when the block ends."""
        with self._changed:
            self._changed.wait_for(lambda: self._now == number)
        try:
            yield
        finally:
            with self._changed:
                self._now += 1
                self._changed.notify_all()


def decoded(  # noqa: PLR0917 - one call, which names nothing twice
    model: Model, opener: Opener, item: Item, file_id: int, settings: ArchiveSettings, turns: Turns, number: int
) -> Generator[Decoded, None, FileRow]:
    """Yield the windows of a recording up to its end or to what is wrong with it, and return its row.

    Members of a container are opened in turn: it is read forward, whoever decodes them.
    """
    began = time.perf_counter()
    known: dict[str, Any] = {}
    stage, meter, sha256 = "open", None, None
    with contextlib.ExitStack() as held:
        try:
            with turns.taken(number):
                if member_of(item.uri) is not None:
                    source, sha256 = held.enter_context(opener.open(item))
            if sha256 is None:
                source, sha256 = held.enter_context(opener.open(item))
            recorded = recorded_at(item.uri, source, settings.time_pattern)
            if recorded is not None:
                known |= {
                    "recorded_at": recorded.begin,
                    "utc_offset_min": recorded.utc_offset_min,
                    "recorded_from": recorded.origin,
                }
            meter = Meter(_opened(source, item))
            stage = "tag"
            listener = model.listener(repr(item.uri), **settings.options)
            with AudioReader(meter, settings.sample_rate, settings.channel) as reader:
                for block in reader.blocks(max(BLOCK_SAMPLES, settings.window)):
                    for prepared in listener.prepare(block):
                        yield Decoded(prepared, known.get("recorded_at"))
                for prepared in listener.prepare_rest():
                    yield Decoded(prepared, known.get("recorded_at"))
                known["warnings"] = "; ".join(meter.warnings()) or None
        except Exception as error:  # noqa: BLE001 - whatever one recording does, the others go on
            known |= failure("decode" if stage == "tag" and isinstance(error, AudioError) else stage, error)
        if sha256 is not None:
            try:
                known["sha256"] = sha256()
            except AudioError as error:  # its end cannot be read, which the decoder had no need of
                known = failure("decode", error) | known
    if meter is not None:
        known |= measured(meter)
    return replace(unread(item, file_id, settings), **known, wall_s=time.perf_counter() - began)


def _opened(source: Any, item: Item) -> Any:
    """Return what decodes an item: from the file that is hashed, or by its path where only its name says what it is."""
    try:
        return open_recording(source, repr(item.uri))
    except AudioError:
        if is_url(item.uri):
            raise
        return open_recording(item.uri)


def unread(item: Item, file_id: int, settings: ArchiveSettings) -> FileRow:
    """Return the row of a recording that nothing is known of."""
    uri = item.uri.encode("utf-8", "backslashreplace").decode()
    uri_bytes = item.uri.encode("utf-8", "surrogateescape")
    return FileRow(
        file_id=file_id,
        uri=uri,
        uri_bytes=uri_bytes,
        done_at=datetime.now(UTC),
        size=item.size,
        model_sha256=settings.model_sha256,
    )


def failure(stage: str, error: Exception) -> dict[str, str]:
    """Return the fields of a row that say why there are no windows."""
    return {"error_stage": stage, "error_type": type(error).__name__, "error": str(error) or repr(error)}


def measured(meter: Meter) -> dict[str, Any]:
    """Return the fields of a row with what was measured while the recording was read."""
    known: dict[str, Any] = {"sample_rate": int(meter.sample_rate), "channels": meter.channels}
    if not meter.n_frames:
        return known
    n_samples = meter.n_frames * meter.channels
    return known | {
        "duration_s": meter.n_frames / meter.sample_rate,
        "peak": meter.peak,
        "clipped": meter.clipped / n_samples,
        "silent": meter.silent / n_samples,
    }
