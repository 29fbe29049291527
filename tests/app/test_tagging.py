"""What the tab Tag computes: thresholds, rows, tables, pictures, and the live microphone."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine import Tagger
from engine.app.live import LiveTags
from engine.app.pictures import recording_picture
from engine.app.tagging import (
    ALL,
    hear,
    rows_above,
    shown_threshold,
    summary_text,
    thresholds_text,
    with_threshold,
    write_table,
    write_tables,
)
from engine.app.upload import read_upload
from engine.errors import AudioError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def tagger():
    with Tagger(device="cpu", threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def rain(tagger):
    return hear(tagger, str(EXAMPLES / "rain.flac"), 60.0)


def test_a_visitors_recording_gets_the_bits_of_the_file(tagger, rain):
    whole = tagger(EXAMPLES / "rain.flac")
    np.testing.assert_array_equal(rain.clip.scores, whole.scores)
    assert rain.name == "rain.flac"


def test_the_slider_starts_at_the_cards_thresholds_and_moves_one_label_or_all(tagger):
    card = tagger.card
    assert shown_threshold(card, {}, "rain") == round(card.thresholds["rain"], 2)
    assert shown_threshold(card, {}, ALL) == round(np.mean(list(card.thresholds.values())), 2)
    moved = with_threshold(card, {}, "rain", 0.9)
    assert shown_threshold(card, moved, "rain") == 0.9
    assert shown_threshold(card, moved, "sneeze") == round(card.thresholds["sneeze"], 2)
    everything = with_threshold(card, moved, ALL, 0.1)
    assert {shown_threshold(card, everything, label) for label in card.labels} == {0.1}
    assert "each label its own" in thresholds_text(card, {})
    assert thresholds_text(card, everything) == "Thresholds: 0.10."


def test_rows_are_what_passes(tagger, rain):
    card = tagger.card
    assert [row[2] for row in rows_above(rain.clip, {})] == ["rain"]
    everything = rows_above(rain.clip, with_threshold(card, {}, ALL, 0.0))
    assert [row[2] for row in everything] == [tag.label for tag in rain.clip.windows[0].top(10)]
    assert rows_above(rain.clip, with_threshold(card, {}, ALL, 1.0)) == []
    assert "nearest is rain" in summary_text(rain, with_threshold(card, {}, ALL, 1.0))


@pytest.mark.parametrize("kind", ["csv", "raven", "audacity"])
def test_tables_read_back(rain, kind):
    stream = io.BytesIO()
    write_table(rain, {}, stream, kind)
    text = stream.getvalue().decode()
    start_s, end_s, label, score = rows_above(rain.clip, {})[0]
    if kind == "csv":
        (row,) = csv.DictReader(io.StringIO(text))
        assert (row["file"], float(row["start_s"]), row["label"]) == ("rain.flac", start_s, label)
        assert float(row["score"]) == pytest.approx(score, abs=1e-5)
    elif kind == "raven":
        (row,) = csv.DictReader(io.StringIO(text), delimiter="\t")
        assert (float(row["End Time (s)"]), row["Annotation"], row["High Freq (Hz)"]) == (end_s, label, "22050")
    else:
        assert text == f"{start_s:.6f}\t{end_s:.6f}\t{label}\n"


def test_tables_are_called_as_their_recording(rain, tmp_path):
    names = {kind: Path(path).name for kind, path in write_tables(rain, {}, tmp_path).items()}
    assert names == {"csv": "rain.csv", "raven": "rain.selections.txt", "audacity": "rain.labels.txt"}


def test_a_picture_says_what_it_shows_and_fits_two_widths(rain):
    picture = recording_picture(rain.clip.duration_s, rain.drawn, rain.clip.events(), 'of "rain" & <more>')
    assert picture.count("data:image/png;base64,") == 2
    assert 'alt="of &quot;rain&quot; &amp; &lt;more&gt;"' in picture


def test_reading_ends_where_a_recording_is_too_long(tmp_path):
    soundfile.write(tmp_path / "long.wav", np.zeros(20_000), 8000)
    assert len(read_upload(str(tmp_path / "long.wav"), 8000, 2.5)) == 20_000
    with pytest.raises(AudioError, match=r"at most 0\.04 minutes, got a longer one in 'long\.wav'; cut it"):
        read_upload(str(tmp_path / "long.wav"), 8000, 2.4)
    (tmp_path / "no.wav").write_bytes(b"nothing")
    with pytest.raises(AudioError, match=r"'no\.wav'") as caught:
        read_upload(str(tmp_path / "no.wav"), 8000, 1.0)
    assert str(tmp_path) not in str(caught.value)


class Clock:
    """Seconds that pass when they are told to."""

    now_s = 100.0

    def __call__(self):
        return self.now_s


def test_live_windows_have_the_bits_of_the_stream_and_their_latency(tagger):
    samples, rate = soundfile.read(EXAMPLES / "clock_tick.flac", dtype="int16")
    samples = np.tile(samples, 2)
    clock = Clock()
    live = LiveTags(tagger, clock)
    assert live.text() == "Not listening."
    blocks = np.array_split(samples, 20)
    for block in blocks:
        clock.now_s += len(block) / rate
        live.push(rate, block)
    assert live.behind_s == pytest.approx(0, abs=1e-6)
    with tagger.stream(sample_rate=rate, hop_s=0.5) as stream:
        windows = [window for block in blocks for window in stream.push(block)]
    assert [row[:2] for row in live.rows] == [[round(w.start_s, 2), round(w.end_s, 2)] for w in windows[::-1]]
    assert live.rows[0][3] == round(float(windows[-1].scores.max()), 3)
    assert re.match(r"Now: clock tick \(0\.96\), 10\.0 s heard\. Latency: 0 ms to compute, 0 ms behind", live.text())
    clock.now_s += 1.25
    assert live.behind_s == pytest.approx(1.25)


def test_a_pause_or_another_rate_begins_a_new_stream(tagger):
    clock = Clock()
    live = LiveTags(tagger, clock)
    block = np.zeros(8000, np.int16)
    live.push(8000, block)
    live.push(8000, block)
    assert "2.0 s heard" in live.text()
    live.push(16_000, block)
    assert "0.5 s heard" in live.text()
    clock.now_s += 10
    live.push(16_000, block)
    assert "0.5 s heard" in live.text()
    with pytest.raises(AudioError):
        live.push(16_000, np.zeros((2, 3, 4), np.float32))
