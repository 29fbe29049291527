"""Many recordings: in their order, the bad ones apart, no more read than needed, and nothing left running."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from engine import Embedder, Tagger
from engine.errors import AudioError, Cancelled, ConfigError, ModelError
from tests.tiny_models import RATE, save

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save(tmp_path_factory.mktemp("batch") / "tiny.onnx")


@pytest.fixture
def tagger(model):
    return Tagger(model, device="cpu", threads=1)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def nothing_is_left_running():
    yield
    assert at_work() == []


def at_work():
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("engine-batch")]


def noise(seconds):
    return (RNG.standard_normal(round(seconds * RATE)) / 10).astype(np.float32)


# The first is the longest: results that came as they are ready would come in another order.
SOURCES = [(noise(seconds), RATE) for seconds in (20, 0.1, 3, 0.5, 8, 0.2, 0.2, 1, 5, 0.3)]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_results_are_those_of_single_calls_in_their_order(tagger, workers):
    want = [tagger(source) for source in SOURCES]
    got = list(tagger.batch(SOURCES, workers=workers))
    assert len(got) == len(want)
    for one, other in zip(got, want, strict=True):
        assert one.duration_s == other.duration_s
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.embedding, other.embedding)
        assert len(one.windows) == len(other.windows)
        for window, expected in zip(one.windows, other.windows, strict=True):
            np.testing.assert_array_equal(window.scores, expected.scores)
        assert one.error is None


def test_work_goes_on_side_by_side(tagger):
    # Two recordings whose reading waits for the other one: one after the other they would wait for ever.
    meeting = threading.Barrier(2, timeout=30)

    class Waiting:
        def __init__(self, path):
            self.file = Path(path).open("rb")  # noqa: SIM115
            self.met = False

        def read(self, size=-1):
            if not self.met and size > 0:
                self.met = True
                meeting.wait()
            return self.file.read(size)

        def __getattr__(self, name):
            return getattr(self.file, name)

    path = save_clip("clip")
    sources = [Waiting(path), Waiting(path)]
    first, second = tagger.batch(sources, workers=2)
    for source in sources:
        source.file.close()
    assert first.error is None
    np.testing.assert_array_equal(first.scores, second.scores)


def save_clip(name, seconds=1.0):
    path = Path(f"{name}.wav").absolute()
    with path.open("wb") as file:
        soundfile.write(file, noise(seconds), RATE, format="WAV", subtype="FLOAT")
    return path


def test_bad_recordings_are_results_with_a_path_and_a_reason(tagger):
    good = save_clip("good")
    Path("bad.wav").write_bytes(b"<html>")
    sources = [
        "absent.wav",
        good,
        Path("bad.wav"),
        b"no audio",
        (np.full(5, np.nan, np.float32), RATE),
        str(good),
        None,
    ]
    clips = list(tagger.batch(sources, workers=3))
    assert [clip.path for clip in clips] == ["absent.wav", str(good), "bad.wav", None, None, str(good), None]
    assert [type(clip.error) for clip in clips] == [
        AudioError,
        type(None),
        AudioError,
        AudioError,
        AudioError,
        type(None),
        AudioError,
    ]
    assert "which does not exist" in str(clips[0].error)
    assert "got nan at sample 0" in str(clips[4].error)
    np.testing.assert_array_equal(clips[1].scores, tagger(good).scores)
    for clip in (clips[0], clips[2]):
        assert (clip.tags, clip.windows, clip.duration_s, clip.scores.size) == ([], (), 0, 0)


def test_errors_may_be_raised_instead_in_the_order_of_the_sources(tagger):
    results = tagger.batch([SOURCES[0], "absent.wav", b"no audio", SOURCES[1]], on_error="raise", workers=4)
    assert next(results).duration_s == 20
    with pytest.raises(AudioError, match=r"absent\.wav"):
        next(results)
    assert list(results) == []


def test_a_channel_and_options_go_to_every_recording(tagger):
    stereo = np.stack([noise(2), noise(2)], axis=1)
    (clip,) = tagger.batch([(stereo, RATE)], channel=1, window_s=0.5, top_k=1, labels_deny=["low"])
    want = tagger((stereo[:, 1], RATE), window_s=0.5, labels_deny=["low"])
    np.testing.assert_array_equal(clip.scores, want.scores)
    assert clip.tags == want.top(1)
    (clip,) = tagger.batch([(stereo, RATE)], channel=2)
    assert "expected a channel from 0 to 1" in str(clip.error)


def test_the_embedder_has_batches_too(model):
    embedder = Embedder(model, device="cpu", threads=2)
    got = [clip.embedding for clip in embedder.batch(SOURCES)]
    np.testing.assert_array_equal(got, [embedder(source).embedding for source in SOURCES])


def test_no_recordings_are_no_results(tagger):
    assert list(tagger.batch([])) == []
    assert list(tagger.batch(iter(()))) == []


# Reading ahead


@pytest.mark.parametrize("workers", [1, 3])
def test_an_endless_source_is_read_as_far_as_there_is_work(tagger, workers):
    taken = itertools.count()
    n_taken = 0

    def endless():
        nonlocal n_taken
        for n_taken in taken:  # noqa: B007
            yield SOURCES[1]

    results = tagger.batch(endless(), workers=workers)
    assert n_taken == 0
    for done in range(1, 30):
        assert next(results).error is None
        assert n_taken <= done + 2 * workers
    results.close()


def test_an_error_of_the_source_is_the_callers(tagger):
    def broken():
        yield SOURCES[1]
        yield SOURCES[3]
        yield SOURCES[5]
        raise OSError("the list ends here")

    results = tagger.batch(broken(), workers=1)
    assert next(results).duration_s == pytest.approx(0.1)
    with pytest.raises(OSError, match="the list ends here"):
        list(results)


def test_an_error_that_is_no_engines_is_raised(tagger, monkeypatch):
    def fail(*_arguments, **_options):
        raise MemoryError("no room")

    monkeypatch.setattr(tagger._model, "_listener", fail)
    with pytest.raises(MemoryError, match="no room"):
        list(tagger.batch(SOURCES))


# Progress and ends


def test_progress_counts_recordings_good_and_bad(tagger):
    counts = []
    for index, _ in enumerate(tagger.batch([SOURCES[1], "absent.wav", SOURCES[3]], progress=counts.append)):
        assert counts == list(range(1, index + 2))
    assert counts == [1, 2, 3]


LONG = (np.zeros(3600 * RATE, np.int16), RATE)


@pytest.mark.parametrize("workers", [1, 2])
def test_cancelling_ends_recordings_that_are_at_work(tagger, workers):
    cancel = threading.Event()
    results = tagger.batch([LONG] * 4, workers=workers, cancel=cancel, hop_s=0.01)
    threading.Timer(0.2, cancel.set).start()
    start = time.monotonic()
    with pytest.raises(Cancelled, match=r"^cancelled after \d"):
        next(results)
    assert 0.15 < time.monotonic() - start < 5
    assert at_work() == []


def test_cancelling_between_recordings(tagger):
    cancel = threading.Event()
    results = tagger.batch(itertools.repeat(SOURCES[1]), workers=2, cancel=cancel)
    next(results)
    next(results)
    cancel.set()
    with pytest.raises(Cancelled, match="cancelled after 2 recordings"):
        next(results)


def test_what_is_set_before_the_start_gives_nothing(tagger):
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match="cancelled after 0 recordings"):
        next(tagger.batch(SOURCES, cancel=cancel))


def test_leaving_early_ends_recordings_that_are_at_work(tagger):
    results = tagger.batch([SOURCES[1], LONG, LONG, LONG], workers=3, hop_s=0.01)
    assert next(results).error is None
    assert at_work()
    start = time.monotonic()
    results.close()
    assert time.monotonic() - start < 5
    assert at_work() == []


def test_a_callers_error_in_progress_ends_the_batch(tagger):
    def interrupted(_count):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(tagger.batch([SOURCES[1], LONG, LONG], workers=2, progress=interrupted, hop_s=0.01))


def test_a_batch_that_is_never_started_starts_nothing(tagger):
    tagger.batch(SOURCES)
    assert at_work() == []


def test_a_closed_model_fails_each_recording(model):
    tagger = Tagger(model, device="cpu")
    tagger.close()
    (clip,) = tagger.batch([SOURCES[1]])
    assert isinstance(clip.error, ModelError)
    with pytest.raises(ModelError, match="closed"):
        list(tagger.batch([SOURCES[1]], on_error="raise"))


# Mistakes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"on_error": "ignore"}, "expected on_error to be 'return' or 'raise', got 'ignore'; choose one of them"),
        ({"workers": 0}, "expected workers to be a whole number from 1 or None, got 0; correct it"),
        ({"workers": 1.5}, "expected workers to be a whole number from 1 or None, got 1.5; correct it"),
        ({"workers": True}, "expected workers to be a whole number from 1 or None, got True; correct it"),
        ({"hop_s": -1}, "expected hop_s to be a positive number of seconds, got -1; correct it"),
    ],
)
def test_mistakes_are_raised_before_anything_is_read(tagger, options, message):
    def untouched():
        raise AssertionError
        yield

    with pytest.raises(ConfigError) as caught:
        tagger.batch(untouched(), **options)
    assert str(caught.value) == message
