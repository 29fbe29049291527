"""The tab Tag in a browser: files and microphone in, pictures, tables and downloads out."""

from __future__ import annotations

import csv
import re

import numpy as np
import pytest
import soundfile

from engine import Tagger
from tests.app.conftest import ROOT, running

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def visitor(visit):
    with running("--max-minutes", "0.2", "--max-mb", "3") as address:
        opened = visit(address)
        yield opened
        opened.close()


@pytest.fixture
def page(visitor):
    visitor.asked.clear()
    visitor.refused.clear()
    clear = visitor.page.locator("#tag-audio").get_by_role("button", name="Clear")
    if clear.count():
        clear.first.click()
        visitor.says("tag-message", "Nothing tagged yet.")
    return visitor


def test_a_file_is_tagged_drawn_and_written(page, tmp_path):
    page.upload("tag-audio", EXAMPLES / "clock_tick.flac")
    assert "clock_tick.flac: 5.00 s in 1 window. Heard: clock tick." in page.says("tag-message", "Heard")
    picture = page.page.locator("#tag-picture img")
    assert "clock tick" in picture.get_attribute("alt")
    assert picture.evaluate("image => image.complete && image.naturalWidth > 500")
    page.says("tag-table", "clock tick")
    for kind, name, separator in (
        ("csv", "clock_tick.csv", ","),
        ("raven", "clock_tick.selections.txt", "\t"),
        ("audacity", "clock_tick.labels.txt", "\t"),
    ):
        with page.page.expect_download() as waiting:
            page.page.locator(f"#tag-{kind}").click()
        download = waiting.value
        assert download.suggested_filename == name
        download.save_as(tmp_path / name)
        with (tmp_path / name).open(newline="") as stream:
            rows = list(csv.reader(stream, delimiter=separator))
        assert any("clock tick" in cell for cell in rows[-1]), rows
        assert len(rows) == (1 if kind == "audacity" else 2)
    assert page.strangers == []
    assert page.refused == []


def test_the_slider_changes_table_and_picture_by_keyboard(page):
    page.upload("tag-audio", EXAMPLES / "rain.flac")
    page.says("tag-message", "Heard: rain")
    slider = page.page.locator("#tag-threshold input[type=range]")
    start = float(slider.input_value())
    with Tagger(device="cpu") as tagger:
        thresholds = tagger.card.thresholds.values()
    assert min(thresholds) - 0.01 < start < max(thresholds) + 0.01
    before = page.page.locator("#tag-picture img").get_attribute("src")
    slider.focus()
    page.page.keyboard.press("Home")  # everything passes 0
    assert "rain, " in page.says("tag-message", "sneeze")
    assert page.page.locator("#tag-picture img").get_attribute("src") != before
    page.says("tag-table", "sneeze")
    slider.focus()
    page.page.keyboard.press("End")  # and nothing passes 1
    page.says("tag-message", "No label reached its threshold; the nearest is rain")
    page.page.locator("#tag-back").click()
    page.says("tag-message", "Heard: rain.")
    said = f"The model's thresholds: {min(thresholds):.2f} to {max(thresholds):.2f}"
    assert "each label its own" in page.says("tag-thresholds", said)
    assert float(slider.input_value()) == start


def test_a_bad_file_is_one_sentence(page, tmp_path):
    page.upload("tag-audio", EXAMPLES / "rain.flac")
    page.says("tag-message", "Heard")
    (tmp_path / "no_sound.wav").write_bytes(b"this is no sound" * 100)
    soundfile.write(tmp_path / "long.wav", np.zeros(13 * 8000), 8000)
    for name, sentence in (
        ("no_sound.wav", "got 'no_sound.wav': no format that libsndfile knows"),
        ("long.wav", "expected a recording of at most 0.2 minutes, got a longer one in 'long.wav'"),
    ):
        page.page.locator("#tag-audio").get_by_role("button", name="Clear").first.click()
        page.says("tag-message", "Nothing tagged yet.")
        page.upload("tag-audio", tmp_path / name)
        said = page.says("tag-message", sentence)
        assert page.page.get_by_role("alert").inner_text() == said.strip()
        assert "Traceback" not in said
        assert "engine-app-" not in said  # the folder is nobody's business
        assert page.page.locator("#tag-picture img").count() == 0


def test_the_microphone_is_recorded_and_tagged(page):
    audio = page.page.locator("#tag-audio")
    audio.get_by_role("button", name="Record audio").click()
    audio.get_by_role("button", name="Record", exact=True).click()
    page.page.wait_for_timeout(3000)
    audio.get_by_role("button", name="Stop").first.click()
    # Named first, whether or not it reaches its threshold: that is the model's affair.
    assert "crackling fire" in page.says("tag-message", "in 1 window")


def test_live_results_come_with_their_latency(page):
    live = page.page.locator("#live-audio")
    live.get_by_role("button", name="Record", exact=True).click()
    said = page.says("live-status", "Now: ")
    assert re.search(r"Latency: \d+ ms to compute, \d+ ms behind the microphone", said)
    page.says("live-table", "crackling fire")
    live.get_by_role("button", name="Stop").first.click()
    assert page.refused == []


def test_a_large_file_is_refused_with_its_limit(page, tmp_path):
    path = tmp_path / "large.wav"
    path.write_bytes(b"RIFF" + bytes(4_000_000))
    page.page.locator("#tag-audio").get_by_role("button", name="Upload file").click()
    page.upload("tag-audio", path)
    page.page.get_by_text(re.compile("maximum allowed size", re.IGNORECASE)).first.wait_for()
