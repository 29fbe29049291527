"""The tab Search: queries, marks, filters, and hits as sound and picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine import Index
from engine.app.finding import BAD, GOOD, NONE, Asked, Library, filters_of, found_text
from engine.errors import AudioError, ConfigError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("library")
    (place / "<b>odd<i>.flac").write_bytes((EXAMPLES / "helicopter.flac").read_bytes())
    with Index.create(place / "lib.index") as made:
        made.add([EXAMPLES, place / "<b>odd<i>.flac"], lambda path: [Path(path).stem])
        made.save()
    return place / "lib.index"


@pytest.fixture(scope="module")
def library(folder):
    with Library(folder) as opened:
        yield opened


def everything(library, asked, **options):
    return library.search(asked, 10, 0, filters_of([], "", None, None, others_only=False), one_per_recording=True)


def test_an_example_finds_itself_and_one_hit_of_each_recording(library):
    asked = library.ask(str(EXAMPLES / "rain.flac"), 60.0)
    hits = everything(library, asked)
    assert Path(hits[0].path).name == "rain.flac"
    assert hits[0].score == pytest.approx(1)
    assert len({hit.recording_id for hit in hits}) == len(hits) == 6
    with Index.open(library._index.folder) as index:
        assert hits == index.search(EXAMPLES / "rain.flac", per_recording=1)
    with pytest.raises(AudioError, match="at most"):
        library.ask(str(EXAMPLES / "rain.flac"), 1.0)


def test_more_like_this_leaves_out_the_hit_itself(library):
    hit = everything(library, library.ask(str(EXAMPLES / "rain.flac"), 60.0))[0]
    more = library.more_like(hit.item)
    hits = library.search(more, 10, 0, filters_of([], "", None, None, others_only=True), one_per_recording=True)
    assert hit.item not in {each.item for each in hits}
    assert found_text(more, hits, 0).startswith("Like rain.flac from 0.00 s: hits 1 to 5")


def test_marks_move_the_search_and_can_be_taken_back(library):
    asked = library.ask(str(EXAMPLES / "rain.flac"), 60.0)
    hits = everything(library, asked)
    shown = [hit.item for hit in hits]
    marked = asked.marked(shown, [NONE, BAD, *[NONE] * (len(shown) - 3), GOOD])
    assert (marked.items(GOOD), marked.items(BAD)) == ([shown[-1]], [shown[1]])
    again = everything(library, marked)
    before = {hit.item: hit.score for hit in hits}
    after = {hit.item: hit.score for hit in again}
    assert after[shown[-1]] > before[shown[-1]]
    assert after[shown[1]] - before[shown[1]] < after[shown[-1]] - before[shown[-1]]
    assert "1 marked good and 1 marked bad" in found_text(marked, again, 0)
    assert marked.marked(shown, [NONE] * len(shown)).marks == {}
    assert marked.marked([], []).marks == marked.marks  # other pages keep theirs


def test_filters_of_the_controls():
    made = filters_of(["rain"], " doors ", 1.0, 0, others_only=True)
    assert (made.tags, made.paths, made.min_duration_s, made.max_duration_s) == (("rain",), ("*doors*",), 1.0, None)
    assert filters_of([], "*.wav", None, None, others_only=False).paths == ("*.wav",)
    assert filters_of([], "", None, None, others_only=False).paths == ()


def test_filters_keep_hits_out(library):
    asked = library.ask(str(EXAMPLES / "rain.flac"), 60.0)
    hits = library.search(asked, 10, 0, filters_of(["sea_waves"], "", 1, 9, others_only=False), one_per_recording=True)
    assert [Path(hit.path).name for hit in hits] == ["sea_waves.flac"]
    nothing = library.search(
        asked, 10, 0, filters_of([], "no such", None, None, others_only=False), one_per_recording=True
    )
    assert found_text(asked, nothing, 0) == "Like rain.flac: nothing: loosen the filters."


def test_a_hit_is_played_and_drawn_and_its_name_is_no_html(library):
    hits = everything(library, library.ask(str(EXAMPLES / "helicopter.flac"), 60.0))
    (odd,) = [hit for hit in hits if "odd" in hit.path]
    samples, rate = soundfile.read(io.BytesIO(library.wav(odd.item)), dtype="float32")
    whole, _ = soundfile.read(EXAMPLES / "helicopter.flac", dtype="float32")
    assert rate == 44_100
    np.testing.assert_allclose(samples, whole, atol=2**-14)
    shown = library.hit_html(odd, "/sound/hit/7.wav")
    assert '<audio controls preload="none" src="/sound/hit/7.wav"' in shown
    assert "data:image/png;base64," in shown
    assert "<b>" not in shown
    for item in (-1, len(library)):
        with pytest.raises(ConfigError, match="expected an item"):
            library.wav(item)


def test_what_is_not_shared_has_neither_sound_nor_picture_nor_path(folder):
    with Library(folder, shares_recordings=False) as private:
        hit = everything(private, private.ask(str(EXAMPLES / "rain.flac"), 60.0))[0]
        shown = private.hit_html(hit, "/sound/hit/0.wav")
        assert "rain.flac" in shown
        assert not any(sign in shown for sign in ("<audio", "<img", str(EXAMPLES)))
        with pytest.raises(ConfigError, match="shares recordings"):
            private.wav(hit.item)


def test_a_recording_that_is_gone_is_one_sentence(tmp_path):
    path = tmp_path / "rain.flac"
    path.write_bytes((EXAMPLES / "rain.flac").read_bytes())
    with Index.create(tmp_path / "lib.index") as made:
        made.add([path])
        made.save()
    path.unlink()
    with Library(tmp_path / "lib.index") as library:
        shown = library.hit_html(everything(library, Asked(item=0))[0], "/x")
        assert 'class="problem">expected' in shown
        assert "<audio" not in shown
