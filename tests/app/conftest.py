"""A real browser in front of the real command."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
# Of a machine with two cores that is busy with something else as well.
PATIENCE_MS = 45_000
_LOCAL = ("http://127.0.0.1:", "https://127.0.0.1:", "data:", "blob:")
START = "import sys; from engine.cli.main import main; sys.exit(main())"


@contextmanager
def running(*arguments: object) -> Iterator[str]:
    """Run ``engine app`` with arguments and give its address; end it with Ctrl-C, and look at how it ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", START, "app", "--port", "0", "--device", "cpu", "--threads", "1", *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    overdue = threading.Timer(PATIENCE_MS / 1000, process.kill)
    overdue.start()
    try:
        address = process.stdout.readline().strip()
        overdue.cancel()
        assert address.startswith("http"), process.communicate()[1]
        yield address
    finally:
        overdue.cancel()
        process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            _, said = process.communicate()
    assert process.returncode == 0, said
    assert said == ""


@pytest.fixture(scope="session")
def microphone(tmp_path_factory) -> Path:
    """Return what the fake microphone plays, over and over: a fire, which is itself wherever a recording begins."""
    samples, rate = soundfile.read(ROOT / "examples" / "crackling_fire.flac", dtype="int16")
    path = tmp_path_factory.mktemp("microphone") / "fire.wav"
    soundfile.write(path, np.tile(samples, 3), rate)
    return path


@pytest.fixture(scope="session")
def browser(microphone) -> Iterator[Any]:
    """Return headless Chromium with a fake microphone; skip where there is none, but not in CI."""
    if CHROMIUM is None:
        reason = "no Chromium here: apt install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    flags = ("no-sandbox", "use-fake-device-for-media-stream", "use-fake-ui-for-media-stream")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[*(f"--{flag}" for flag in flags), f"--use-file-for-fake-audio-capture={microphone}"],
        )
        yield opened
        opened.close()


class Visit:
    """A page of one visitor, and the addresses that it asked for."""

    def __init__(self, browser: Any, address: str, **context: Any) -> None:
        self.context = browser.new_context(accept_downloads=True, **context)
        self.context.set_default_timeout(PATIENCE_MS)
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.refused: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("response", lambda answer: self.refused.append(answer.url) if answer.status >= 400 else None)
        # What would leave this machine fails, as it does without a network.
        self.context.route(lambda url: not url.startswith(_LOCAL), lambda route: route.abort())
        self.page.goto(address)
        self.page.get_by_role("heading", level=1).wait_for()

    @property
    def strangers(self) -> list[str]:
        """What was asked for and is not this machine's."""
        return [url for url in self.asked if not url.startswith(_LOCAL)]

    def tab(self, name: str) -> None:
        """Open a tab."""
        self.page.get_by_role("tab", name=name, exact=True).click()

    def tries(self, action: Callable[[], None], place: str, text: str) -> str:
        """Do something until an element holds a text, and return all of it.

        What is typed while a part of the page is still coming up can be lost on a busy machine.
        """
        for _ in range(4):
            action()
            if self._appears(place, text, PATIENCE_MS / 4):
                break
        return self.says(place, text)

    def says(self, place: str, text: str) -> str:
        """Wait until an element holds a text, and return all of it."""
        if not self._appears(place, text, PATIENCE_MS):
            said = self.page.locator(f"#{place}").all_inner_texts()
            pytest.fail(f"expected {text!r} in #{place}, got {said} and the notes {self.notes()}")
        return str(self.page.locator(f"#{place}").filter(has_text=text).inner_text())

    def _appears(self, place: str, text: str, within_ms: float) -> bool:
        from playwright.sync_api import TimeoutError as Overdue

        try:
            self.page.locator(f"#{place}").filter(has_text=text).wait_for(timeout=within_ms)
        except Overdue:
            return False
        return True

    def notes(self) -> list[str]:
        """Return what the page says in its corner."""
        return [str(note) for note in self.page.get_by_role("alert").all_inner_texts()]

    def upload(self, place: str, path: object) -> None:
        """Drop a file on an audio component."""
        self.page.locator(f"#{place} input[type=file]").set_input_files(str(path))

    def close(self) -> None:
        """Leave."""
        self.context.close()


@pytest.fixture(scope="module")
def visit(browser) -> Iterator[Any]:
    """Return a function that opens an address as a new visitor, who stays for all tests of the module."""
    visits: list[Visit] = []

    def open_page(address: str, **context: Any) -> Visit:
        visits.append(Visit(browser, address, **context))
        return visits[-1]

    yield open_page
    for each in visits:
        each.close()
