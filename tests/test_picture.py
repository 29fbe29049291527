"""Recordings as pictures: what is drawn, against the values that it is drawn from."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from engine import LogMel, Tagger
from engine.audio import load
from engine.errors import EngineError
from engine.events import Event
from engine.picture import draw, envelope, sketch


@given(n=st.integers(1, 3000), columns=st.integers(1, 50), seed=st.integers(0, 99))
def test_an_envelope_leaves_no_sample_out(n, columns, seed):
    samples = np.random.default_rng(seed).standard_normal(n).astype(np.float32)
    times_s, low, high = envelope(samples, 100, columns)
    assert len(times_s) == len(low) == len(high) <= columns
    starts = np.round(times_s * 100).astype(int)
    for first, last, least, greatest in zip(starts, [*starts[1:], n], low, high, strict=True):
        assert (least, greatest) == (samples[first:last].min(), samples[first:last].max())
    assert starts[0] == 0


def test_panels_share_the_time_axis_and_each_event_is_a_bar():
    events = [Event(0.5, 1.0, "rain", 0.9), Event(2.0, 3.5, "dog bark", 0.4), Event(3.0, 4.0, "rain", 0.6)]
    sound, log_mel = (np.zeros(400, np.float32), 100), np.arange(40 * 8, dtype=np.float32).reshape(40, 8)
    figure = draw(4.0, events, title="yard.wav", sound=sound, log_mel=log_mel)
    wave, spectrogram, bars = figure.axes
    assert wave.get_xlim() == spectrogram.get_xlim() == bars.get_xlim() == (0, 4)
    (image,) = spectrogram.images
    assert (image.get_array() == log_mel.T).all()
    assert tuple(image.get_extent()) == (0, 4, 0, 8)
    assert [label.get_text() for label in bars.get_yticklabels()] == ["rain", "dog bark"]
    drawn = [path.get_extents() for bar in bars.collections for path in bar.get_paths()]
    assert [(box.x0, box.x1) for box in drawn] == [(0.5, 1.0), (2.0, 3.5), (3.0, 4.0)]
    assert [round(float(box.y0 + box.y1) / 2) for box in drawn] == [0, 1, 0]
    assert [bar.get_alpha() for bar in bars.collections] == [0.9, 0.4, 0.6]
    assert figure.get_suptitle() == "yard.wav"


def test_nothing_heard_is_said():
    (axis,) = draw(2.0, []).axes
    assert [text.get_text() for text in axis.texts] == ["no label reached its threshold"]


def test_a_clip_draws_its_events():
    with Tagger(device="cpu") as tagger:
        clip = tagger("examples/clock_tick.flac")
        sound = load("examples/clock_tick.flac", tagger.card.sample_rate)
        figure = clip.plot(sound=sound, log_mel=LogMel(tagger.card.frontend)(sound[0]))
    assert [label.get_text() for label in figure.axes[-1].get_yticklabels()] == ["clock tick"]
    assert len(figure.axes) == 3
    assert len(clip.plot(threshold=1.1).axes[0].texts) == 1


def test_without_matplotlib_there_is_one_sentence(monkeypatch):
    monkeypatch.setattr("engine.picture.find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"expected matplotlib.*pip install 'sound-engine\[plot\]'"):
        draw(1.0, [])


def test_the_command_writes_a_picture(engine, tmp_path, monkeypatch):
    code, _, err = engine("plot", "examples/rain.flac", "-o", tmp_path / "rain.png")
    assert code == 0
    assert "1 events in" in err
    assert (tmp_path / "rain.png").read_bytes().startswith(b"\x89PNG")
    code, _, err = engine("plot", "examples/rain.flac", "-o", tmp_path / "rain.png")
    assert (code, "--overwrite" in err) == (1, True)
    assert engine("plot", "nothing.wav", "-o", tmp_path / "other.png")[0] == 1
    monkeypatch.setattr("engine.cli.plot.LONGEST_S", 1.0)
    soundfile.write(tmp_path / "long.wav", np.zeros(2 * 8000), 8000)
    code, _, err = engine("plot", tmp_path / "long.wav", "-o", tmp_path / "long.png")
    assert (code, "engine archive summary --plot" in err) == (2, True)
    assert not (tmp_path / "long.png").exists()


@pytest.mark.parametrize("n", [1, 3999, 4001, 300_007])
def test_a_sketch_draws_as_the_whole_recording_does(n):
    samples = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    log_mel = np.random.default_rng(0).standard_normal((n // 100, 8)).astype(np.float32)
    drawn = sketch((samples, 8000), log_mel)
    assert len(drawn.sound[0]) <= 4000
    assert len(drawn.log_mel) <= 2000
    assert len(drawn.sound[0]) / drawn.sound[1] == pytest.approx(n / 8000)
    whole, small = envelope(samples, 8000), envelope(*drawn.sound)
    np.testing.assert_allclose(small[0], whole[0], atol=1 / 8000)
    np.testing.assert_array_equal(small[1:], whole[1:])
    assert drawn.log_mel.max(initial=-9) == log_mel.max(initial=-9)
    assert sketch((samples, 8000), None).log_mel is None


def test_names_with_dollar_signs_are_no_formulas():
    figure = draw(1.0, [Event(0.0, 1.0, r"a$\nope$", 0.5)], title=r"$\nope$", ink="#777777")
    figure.canvas.draw()
    assert figure.axes[-1].get_yticklabels()[0].get_text() == r"a$\nope$"
