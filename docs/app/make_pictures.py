r"""Photograph the page: python docs/app/make_pictures.py ADDRESS [CHROMIUM].

Start the page first, with what is to be seen on it:

    make demo
    engine archive run RECORDINGS -o build/archive --time-pattern '%Y%m%d_%H%M%S'
    engine bench esc10 --duration 5 -o build/bench.json
    engine models convert esc10 --variants waveform -o build/variants
    cp models/esc10.onnx build/variants/
    engine app --model build/variants/esc10.onnx --index build/library.index \
        --archive build/archive --report build/bench.json

Each tab is taken once at 1280 pixels and once at 390, half of them in dark, with the examples of this repository.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Colours of a picture: enough for text and spectrograms, a third of the bytes.
_COLOURS = 96
_TALLEST_PX = 1700


def tag(page: Any) -> None:
    """Tag an example."""
    page.locator("#tag-audio input[type=file]").set_input_files(ROOT / "examples" / "clock_tick.flac")
    page.locator("#tag-message").filter(has_text="Heard").wait_for()


def search(page: Any) -> None:
    """Search with a sound of the library."""
    page.locator("#search-audio input[type=file]").set_input_files(ROOT / "build/library/bell/bell_3.wav")
    page.locator("#search-message").filter(has_text="hits 1 to").wait_for()


def archive(page: Any) -> None:
    """Listen to a detection of rain."""
    page.get_by_label("Label", exact=True).click()
    page.get_by_role("option", name="rain").click()
    page.locator("#archive-message").filter(has_text="rain: heard").wait_for()
    page.wait_for_timeout(1500)
    page.locator("#archive-listen").click()
    page.locator("#archive-picture img").wait_for()


def models(page: Any) -> None:
    """Measure every model."""
    page.locator("#models-measure").click()
    page.locator("#models-message").filter(has_text="Measured").wait_for()


TABS: dict[str, Callable[[Any], None]] = {"Tag": tag, "Search": search, "Archive": archive, "Models": models}
LOOKS = {
    "Tag": ("light", "dark"),
    "Search": ("dark", "light"),
    "Archive": ("light", "dark"),
    "Models": ("dark", "light"),
}


def main() -> None:
    """Write two pictures of each tab beside this file."""
    chromium = sys.argv[2] if len(sys.argv) > 2 else shutil.which("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, act in TABS.items():
            for width, scheme in zip((1280, 390), LOOKS[name], strict=True):
                page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
                page.goto(sys.argv[1])
                page.get_by_role("tab", name=name, exact=True).click()
                act(page)
                page.wait_for_timeout(1500)
                taken = Image.open(io.BytesIO(page.screenshot(full_page=True)))
                taken = taken.crop((0, 0, taken.width, min(taken.height, _TALLEST_PX)))
                small = taken.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
                small.save(HERE / f"{name.lower()}_{width}_{scheme}.png", optimize=True)
                page.close()
        browser.close()


if __name__ == "__main__":
    main()
