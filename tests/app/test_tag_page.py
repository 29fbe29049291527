"""The tab Tag in a browser: files and microphone in, pictures, tables and downloads out."""

from __future__ import annotations

import csv
import re

import pytest

from tests.app.conftest import ROOT, running

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def address():
    with running("--max-minutes", "0.2", "--max-mb", "3") as printed:
        yield printed


def test_a_file_is_tagged_drawn_and_written(visit, address, tmp_path):
    page = visit(address)
    page.upload("tag-audio", EXAMPLES / "clock_tick.flac")
    assert "clock_tick.flac: 5.00 s in 1 window. Heard: clock tick." in page.says("tag-message", "Heard")
    picture = page.page.locator("#tag-picture img")
    assert "clock tick" in picture.get_attribute("alt")
    assert picture.evaluate("image => image.complete && image.naturalWidth > 500")
    table = page.page.locator("#tag-table")
    assert table.get_by_text("clock tick").count() > 0
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


def test_the_slider_changes_table_and_picture(visit, address):
    page = visit(address)
    page.upload("tag-audio", EXAMPLES / "rain.flac")
    page.says("tag-message", "Heard: rain")
    slider = page.page.locator("#tag-threshold input[type=range]")
    start = float(slider.input_value())
    assert 0.24 < start < 0.81  # between the card's thresholds
    before = page.page.locator("#tag-picture img").get_attribute("src")
    slider.focus()
    page.page.keyboard.press("Home")  # everything passes 0
    assert "rain, " in page.says("tag-message", "sneeze")
    assert page.page.locator("#tag-picture img").get_attribute("src") != before
    page.says("tag-table", "sneeze")
    page.page.keyboard.press("End")  # and nothing passes 1
    page.says("tag-message", "No label reached its threshold; the nearest is rain")
    page.page.locator("#tag-back").click()
    page.says("tag-message", "Heard: rain.")
    assert "each label its own" in page.says("tag-thresholds", "The model's thresholds: 0.24 to 0.80")
    assert float(slider.input_value()) == start


def test_the_microphone_is_recorded_and_tagged(visit, address):
    page = visit(address)
    audio = page.page.locator("#tag-audio")
    audio.get_by_role("button", name=re.compile("microphone|record", re.I)).first.click()
    audio.get_by_role("button", name="Record", exact=True).click()
    page.page.wait_for_timeout(5500)
    audio.get_by_role("button", name="Stop").first.click()
    said = page.says("tag-message", "Heard")
    assert "clock tick" in said


def test_live_results_come_with_their_latency(visit, address):
    page = visit(address)
    live = page.page.locator("#live-audio")
    live.get_by_role("button", name="Record", exact=True).click()
    said = page.says("live-status", "Now: ")
    assert re.search(r"Latency: \d+ ms to compute, \d+ ms behind the microphone", said)
    page.says("live-table", "clock tick")
    live.get_by_role("button", name="Stop").first.click()
    assert page.refused == []


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("not_audio.wav", "expected"),
        ("empty.wav", "expected"),
        ("long.wav", "expected a recording of at most 0.2 minutes, got a longer one in 'long.wav'"),
    ],
)
def test_a_bad_file_is_one_sentence(visit, address, tmp_path, name, sentence):
    import numpy as np
    import soundfile

    path = tmp_path / name
    if name == "long.wav":
        soundfile.write(path, np.zeros(13 * 8000), 8000)
    else:
        path.write_bytes(b"" if name == "empty.wav" else b"this is no sound" * 100)
    page = visit(address)
    page.upload("tag-audio", EXAMPLES / "rain.flac")
    page.says("tag-message", "Heard")
    page.page.locator("#tag-audio").get_by_role("button", name="Clear").click()
    page.says("tag-message", "Nothing tagged yet.")
    page.upload("tag-audio", path)
    alert = page.page.get_by_role("alert").filter(has_text=sentence)
    alert.wait_for()
    said = alert.inner_text()
    assert name in said
    assert "Traceback" not in said
    assert "engine-app-" not in said  # the folder is nobody's business
    assert page.page.locator("#tag-picture img").count() == 0


def test_a_large_file_is_refused_with_its_limit(visit, address, tmp_path):
    path = tmp_path / "large.wav"
    path.write_bytes(b"RIFF" + bytes(4_000_000))
    page = visit(address)
    page.upload("tag-audio", path)
    page.page.get_by_text(re.compile("maximum allowed size", re.I)).first.wait_for()
