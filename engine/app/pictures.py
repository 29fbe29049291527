"""Pictures for a page that may be narrow or wide, light or dark."""

from __future__ import annotations

import base64
import html
import io
import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.picture import draw, require_matplotlib, write_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from engine.events import Event
    from engine.picture import Sketch

# Contrast 4.4 on white and on near black.
INK = "#777777"
# The narrow picture is for telephones; both are drawn about twice as fine as they are shown.
_WIDE_IN, _WIDE_DPI, _NARROW_IN, _NARROW_DPI = 9.0, 130, 4.4, 160
_NARROW_PAGE_PX = 640
# matplotlib's fonts and caches are shared, and its makers promise nothing for threads.
_DRAWING = threading.Lock()


def recording_picture(duration_s: float, drawn: Sketch, events: Sequence[Event], alt: str) -> str:
    """Return HTML with waveform, spectrogram and events over one time axis."""
    with _DRAWING:
        wide, narrow = (
            _png(draw(duration_s, events, sound=drawn.sound, log_mel=drawn.log_mel, width_in=width_in, ink=INK), dpi)
            for width_in, dpi in ((_WIDE_IN, _WIDE_DPI), (_NARROW_IN, _NARROW_DPI))
        )
    return responsive(wide, narrow, alt)


def hours_picture(shares: Sequence[tuple[str, float]], alt: str) -> str:
    """Return HTML with bars over the 24 hours of a day; hours without recordings have none."""
    with _DRAWING:
        wide, narrow = (
            _png(_hours(shares, width_in), dpi) for width_in, dpi in ((_WIDE_IN, _WIDE_DPI), (_NARROW_IN, _NARROW_DPI))
        )
    return responsive(wide, narrow, alt)


def _hours(shares: Sequence[tuple[str, float]], width_in: float) -> Any:
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, 2.2), layout="constrained")
    axis = figure.subplots()
    for hour in {f"{hour:02d}" for hour in range(24)} - {hour for hour, _ in shares}:
        axis.axvspan(int(hour) - 0.5, int(hour) + 0.5, color=INK, alpha=0.2, linewidth=0)
    axis.bar([int(hour) for hour, _ in shares], [share for _, share in shares], width=0.85)
    axis.set(xlim=(-0.5, 23.5), xticks=range(0, 24, 3), ylim=(0, 1.05), xlabel="hour of the day", ylabel="share")
    write_in(figure, INK)
    return figure


def responsive(wide: bytes, narrow: bytes, alt: str) -> str:
    """Return HTML that shows one of two PNGs, whichever fits the page."""
    return (
        f'<picture><source media="(max-width: {_NARROW_PAGE_PX}px)" srcset="{_data(narrow)}">'
        f'<img class="drawn" src="{_data(wide)}" alt="{html.escape(alt)}"></picture>'
    )


def thumbnail(log_mel: NDArray[np.float32], alt: str) -> str:
    """Return HTML with a spectrogram without axes, low bands below."""
    from matplotlib.image import imsave

    stream = io.BytesIO()
    # Silence is far below all else and would leave the rest without contrast.
    low = float(np.percentile(log_mel, 5))
    with _DRAWING:
        imsave(stream, log_mel.T[::-1], cmap="viridis", vmin=low, vmax=max(float(log_mel.max()), low + 1e-6))
    return f'<img class="thumbnail" src="{_data(stream.getvalue())}" alt="{html.escape(alt)}">'


def _png(figure: Any, dpi: int) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=dpi)
    return stream.getvalue()


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
