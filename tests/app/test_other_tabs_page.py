"""Search, Archive and Models in a browser, and several visitors at once."""

from __future__ import annotations

import urllib.error
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from engine import Index
from engine.archive import run
from engine.registry import models_folder
from tests.app.conftest import ROOT, running

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    with Index.create(folder / "lib.index") as made:
        made.add([EXAMPLES], lambda path: ["wet" if "rain" in path or "sea" in path else "dry"])
        made.save()
    (folder / "in").mkdir()
    for hour in ("05", "17"):
        (folder / "in" / f"a_20240511_{hour}0000.flac").write_bytes((EXAMPLES / "rain.flac").read_bytes())
    (folder / "in" / "bad.wav").write_bytes(b"no sound")
    run([folder / "in"], folder / "out", time_pattern="%Y%m%d_%H%M%S", workers=1)
    return folder


@pytest.fixture(scope="module")
def address(place):
    with running("--index", place / "lib.index", "--archive", place / "out") as printed:
        yield printed


@pytest.fixture(scope="module")
def page(visit, address):
    opened = visit(address)
    yield opened
    opened.close()


def test_an_example_is_found_played_marked_and_searched_again(page):
    page.tab("Search")
    page.upload("search-audio", EXAMPLES / "rain.flac")
    page.says("search-message", "Like rain.flac: hits 1 to 5")
    assert "1. rain.flac" in page.says("hit-1-facts", "score 1.000")
    play = "a.muted = true; a.onplaying = () => done(a.duration); a.onerror = failed; a.play()"
    player = page.page.locator("#hit-1-facts audio")
    played = player.evaluate(f"a => new Promise((done, failed) => {{ {play} }})")
    assert played == pytest.approx(5.0, abs=0.05)
    assert page.page.locator("#hit-2-facts img").get_attribute("alt") == "Spectrogram of hit 2"
    page.page.locator("#hit-5-mark").get_by_label("good").check()
    page.page.locator("#hit-2-mark").get_by_label("bad").check()
    page.page.locator("#search-again").click()
    page.says("search-message", "with 1 marked good and 1 marked bad")
    page.page.locator("#hit-1-more").click()
    page.says("search-message", "from 0.00 s: hits 1 to 4")  # the hit itself is left out


def test_filters_and_the_microphone(page):
    page.tab("Search")
    page.page.locator("#search-filters button").first.click()
    path = page.page.get_by_label("Path")

    def search() -> None:
        path.fill("")
        path.fill("nothing like it")
        page.page.locator("#search-go").click()

    page.tries(search, "search-message", "nothing: loosen the filters")
    path.fill("")
    audio = page.page.locator("#search-audio")
    audio.get_by_role("button", name="Clear").first.click()
    audio.get_by_role("button", name="Record audio").click()
    audio.get_by_role("button", name="Record", exact=True).click()
    page.page.wait_for_timeout(2500)
    audio.get_by_role("button", name="Stop").first.click()
    page.says("hit-1-facts", "crackling_fire.flac")
    page.page.get_by_text("Search by voice is experimental").wait_for()


def test_a_detection_is_heard_corrected_and_exported(page, tmp_path):
    page.tab("Archive")
    page.says("archive-failures", "no format that libsndfile knows")
    page.page.get_by_label("Label", exact=True).click()
    page.page.get_by_role("option", name="rain").click()
    page.says("archive-message", "rain: heard in 2 windows")
    assert "05 h 1.00" in page.page.locator("#archive-activity img").get_attribute("alt")
    page.says("archive-table", "2024-05-11 05:00:00")
    page.page.locator("#archive-listen").click()
    page.says("archive-said", "rain (1.00) at 0.00 s")
    page.page.locator("#archive-picture img").wait_for()
    page.page.locator("#archive-keep").click()
    page.says("archive-said", "1 corrected; the last is - instead of rain.")
    page.page.locator("#archive-export").click()
    page.says("archive-said", "engine teach corrections.csv")
    with page.page.expect_download() as waiting:
        page.page.locator("#archive-download").click()
    waiting.value.save_as(tmp_path / "made.zip")
    with zipfile.ZipFile(tmp_path / "made.zip") as made:
        assert len(made.namelist()) == 2


def test_models_are_measured_and_their_cards_read(page):
    page.tab("Models")
    page.says("models-card", "ESC-10, folds 1, 2, 3, 4")
    page.page.locator("#models-measure").click()
    page.says("models-message", f"Measured {len(list(models_folder().glob('*.onnx')))} models")
    assert page.strangers == []
    assert page.refused == []


def test_two_visitors_at_once_get_their_own_answers(visit, address, page):
    page.tab("Tag")
    other = visit(address)
    page.upload("tag-audio", EXAMPLES / "rain.flac")
    other.upload("tag-audio", EXAMPLES / "clock_tick.flac")
    assert "rain.flac" in page.says("tag-message", "Heard: rain.")
    assert "clock_tick.flac" in other.says("tag-message", "Heard: clock tick.")
    other.page.locator("#tag-threshold input[type=range]").focus()
    other.page.keyboard.press("End")
    other.says("tag-message", "No label reached its threshold")
    assert "Heard: rain." in page.page.locator("#tag-message").inner_text()
    other.close()


def answer(address, path, **headers):
    request = urllib.request.Request(address.rstrip("/") + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as given:
            return given.status, given.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


def test_paths_outside_are_never_served(address, place):
    hidden = (place / "in" / "bad.wav").read_bytes()
    for path in (
        *(f"/gradio_api/file={place}/in/bad.wav", "/gradio_api/file=/etc/passwd", "/gradio_api/file=../../etc/passwd"),
        *("/gradio_api/file=https://example.org/", "/gradio_api/proxy=https://example.org/", "/etc/passwd"),
        *("/static/..%2f..%2f..%2fetc/passwd", "/assets/%2e%2e/%2e%2e/%2e%2e/pyproject.toml", "/sound/hit/../../x.wav"),
        *("/sound/hit/99.wav", "/sound/hit/-1.wav", "/sound/hit/%2e%2e%2fbad.wav"),
    ):
        status, text = answer(address, path)
        assert status in (403, 404, 422), path
        assert hidden not in text
        assert b"root:" not in text
    with ThreadPoolExecutor(4) as pool:
        sounds = list(pool.map(lambda _: answer(address, "/sound/hit/1.wav"), range(8)))
    assert {status for status, _ in sounds} == {200}
    assert len({sound for _, sound in sounds}) == 1


def test_a_page_for_others_asks_for_its_token_and_says_what_the_microphone_needs(visit, place):
    with running("--host", "0.0.0.0", "--index", place / "lib.index", "--share-nothing") as printed:
        here = printed.replace("0.0.0.0", "127.0.0.1")
        bare, _, token = here.partition("?token=")
        assert len(token) >= 24
        assert answer(bare, "/")[0] == 401
        assert answer(bare, "/sound/hit/0.wav")[0] == 401
        opened = visit(here)
        assert "token" not in opened.page.url
        opened.page.get_by_text("Browsers give the microphone to pages over HTTPS only").wait_for()
        opened.tab("Search")
        opened.upload("search-audio", EXAMPLES / "rain.flac")
        opened.says("hit-1-facts", "rain.flac")
        assert opened.page.locator("#hit-1-facts audio, #hit-1-facts img").count() == 0
        opened.close()
