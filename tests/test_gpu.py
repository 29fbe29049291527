"""The engine on a CUDA device: what it computes is what the CPU computes, within a stated tolerance.

``ENGINE_TEST_DEVICE=cpu`` runs the same tests on the CPU, which shows that they can pass.
"""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import pytest

from engine import Ranker, Tagger
from engine.bench.clip import clip
from engine.convert import convert_model
from engine.verify import verify_model
from tests.tiny_towers import save_towers

pytestmark = pytest.mark.gpu

# Scores are sigmoids, embeddings have length one: float32 sums in another order, TF32 off.
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def tagger(gpu):
    return Tagger(device=gpu)


@pytest.fixture(scope="module")
def on_cpu():
    return Tagger(device="cpu")


def assert_agree(got, want):
    assert len(got.windows) == len(want.windows)
    for mine, other in zip(got.windows, want.windows, strict=True):
        assert (mine.start_s, mine.end_s) == (other.start_s, other.end_s)
        np.testing.assert_allclose(mine.scores, other.scores, atol=TOLERANCE)
        np.testing.assert_allclose(mine.embedding, other.embedding, atol=TOLERANCE)


def test_the_device_is_the_one_that_was_asked_for(tagger, gpu):
    assert tagger.device == gpu


def test_the_golden_check_passes(gpu):
    assert verify_model(device=gpu).golden_error < TOLERANCE


@pytest.mark.parametrize("seconds", [0.01, 1, 5.12, 5.2, 26, 130])
def test_outputs_are_those_of_the_cpu(tagger, on_cpu, seconds):
    source = (clip(seconds, 44100), 44100)
    assert_agree(tagger(source), on_cpu(source))


@pytest.mark.parametrize("name", ["rain", "clock_tick", "helicopter"])
def test_tags_of_the_examples_are_those_of_the_cpu(tagger, on_cpu, name, request):
    path = request.config.rootpath / "examples" / f"{name}.flac"
    got, want = tagger(path), on_cpu(path)
    assert_agree(got, want)
    assert got.top(1)[0].label == want.top(1)[0].label


@pytest.mark.parametrize("batch_size", [1, 3, 8, 64, "auto"])
def test_batches_change_nothing_beyond_the_tolerance(tagger, on_cpu, batch_size):
    source = (clip(60, 44100), 44100)
    assert_agree(tagger(source, batch_size=batch_size), on_cpu(source))


def test_auto_finds_a_size_once(gpu):
    tagger = Tagger(device=gpu)
    for _ in range(2):
        tagger((clip(60, 44100), 44100), batch_size="auto")
    assert len(tagger.batch_sweeps) == (0 if gpu == "cpu" else 1)


@pytest.mark.parametrize(("variant", "tolerance"), [("waveform", TOLERANCE), ("fp16", 0.02)])
def test_variants_agree_with_the_model_on_the_cpu(gpu, on_cpu, tmp_path, variant, tolerance):
    path = convert_model(None, variant, tmp_path).path
    source = (clip(26, 44100), 44100)
    got, want = Tagger(path, device=gpu)(source, batch_size=4), on_cpu(source)
    assert len(got.windows) == len(want.windows)
    for mine, other in zip(got.windows, want.windows, strict=True):
        np.testing.assert_allclose(mine.scores, other.scores, atol=tolerance)


def test_a_second_call_gives_the_bits_of_the_first(tagger):
    source = (clip(20, 44100), 44100)
    np.testing.assert_array_equal(tagger(source).scores, tagger(source).scores)


def test_threads_share_a_tagger(tagger):
    sources = [(clip(seconds, 44100), 44100) for seconds in (2, 6, 12, 30)]
    want = [tagger(source) for source in sources]
    got = [[] for _ in sources]

    def work(index):
        got[index] = [tagger(sources[index]) for _ in range(5)]

    workers = [threading.Thread(target=work, args=(index,)) for index in range(len(sources))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for clips, expected in zip(got, want, strict=True):
        assert len(clips) == 5
        for found in clips:
            assert_agree(found, expected)


def test_live_audio_gives_the_windows_of_the_recording(tagger):
    samples = clip(16, 44100)
    want = tagger((samples, 44100)).windows
    stream = tagger.stream(44100)
    got = [window for a, b in pairwise(range(0, len(samples) + 10000, 10000)) for window in stream.push(samples[a:b])]
    got += stream.flush()
    assert len(got) == len(want)
    for mine, other in zip(got, want, strict=True):
        np.testing.assert_allclose(mine.scores, other.scores, atol=TOLERANCE)


def test_two_towers_rank_as_on_the_cpu(gpu, tmp_path):
    path = save_towers(tmp_path / "towers.onnx")
    sounds = [(clip(seconds, 8000), 8000) for seconds in (0.3, 1, 1.7, 4)]
    query = (clip(1.5, 4000), 4000)
    found = []
    for device in (gpu, "cpu"):
        ranker = Ranker(path, device=device)
        assert ranker.device == device
        found.append(ranker.scores(query, ranker.encode(sounds)))
    np.testing.assert_allclose(*found, atol=TOLERANCE)
