"""Streaming gives the frames of the whole clip, bit for bit, for any split into blocks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import AudioError, ConfigError
from engine.frontend import LogMel, LogMelStream
from tests.test_frontend import SMALL, VARIANTS, noise

pytestmark = pytest.mark.filterwarnings("ignore:mel filters")
STREAMABLE = {name: replace(SMALL, **v) for name, v in VARIANTS.items() if not replace(SMALL, **v).whole_input_fields}


def streamed(stream: LogMelStream, x: np.ndarray, sizes: list[int]) -> np.ndarray:
    parts, at = [], 0
    for size in sizes:
        parts.append(stream.push(x[at : at + size]))
        at += size
    parts.extend([stream.push(x[at:]), stream.flush()])
    return np.concatenate(parts)


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(sorted(STREAMABLE)),
    n=st.one_of(st.integers(0, 300), st.integers(0, 9000)),
    sizes=st.lists(st.one_of(st.integers(0, 40), st.integers(0, 1500)), max_size=12),
    hop=st.sampled_from([1, 7, 20, 49, 130]),
    n_fft=st.sampled_from([50, 64, 133]),
)
def test_any_split_gives_the_bits_of_the_whole(name: str, n: int, sizes: list[int], hop: int, n_fft: int) -> None:
    config = replace(STREAMABLE[name], hop_length=hop, n_fft=n_fft)
    x = noise(n, seed=n)
    np.testing.assert_array_equal(streamed(LogMelStream(config), x, sizes), LogMel(config)(x))


@pytest.mark.parametrize("name", sorted(STREAMABLE))
@pytest.mark.parametrize("hop", [1, 20, 49, 130])
def test_single_samples_and_ends_around_a_hop(name: str, hop: int) -> None:
    # A rectangular window weighs the outermost samples as much as any other: none may be missing at either end.
    config = replace(STREAMABLE[name], hop_length=hop, window="rectangular")
    front_end, stream = LogMel(config), LogMelStream(config)
    middle = 390 // hop * hop
    for n in (middle - 1, middle, middle + 1, middle + hop // 2):
        x = noise(n, seed=n)
        np.testing.assert_array_equal(streamed(stream, x, [1] * n), front_end(x))


def test_a_flushed_stream_starts_anew() -> None:
    stream = LogMelStream(SMALL)
    for seed in range(3):
        x = noise(500 + seed, seed)
        np.testing.assert_array_equal(streamed(stream, x, [100, 200]), LogMel(SMALL)(x))


def test_a_frame_comes_out_with_its_last_sample() -> None:
    stream = LogMelStream(replace(SMALL, framing="valid"))
    assert len(stream.push(noise(49))) == 0
    assert len(stream.push(noise(1))) == 1
    assert len(stream.push(noise(19))) == 0
    assert len(stream.push(noise(1))) == 1


@pytest.mark.parametrize("name", ["librosa", "whisper", "zscore", "max_and_bins"])
def test_settings_that_need_the_whole_input_are_named(name: str) -> None:
    config = replace(SMALL, **VARIANTS[name])
    with pytest.raises(ConfigError, match=", ".join(config.whole_input_fields)):
        LogMelStream(config)


def test_a_refused_block_changes_nothing() -> None:
    x, stream = noise(1000), LogMelStream(SMALL)
    first = stream.push(x[:600])
    bad = x[600:].copy()
    bad[33] = np.nan
    with pytest.raises(AudioError, match="at sample 633"):
        stream.push(bad)
    with pytest.raises(TypeError, match="float64"):
        stream.push(x[600:].astype(float))
    rest = np.concatenate([first, stream.push(x[600:]), stream.flush()])
    np.testing.assert_array_equal(rest, LogMel(SMALL)(x))


def test_memory_stays_constant() -> None:
    resource = pytest.importorskip("resource", reason="peak memory is read through the resource module")
    stream, block = LogMelStream(SMALL), noise(8000)
    for _ in range(20):
        stream.push(block)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(2000):  # 64 MB of samples
        stream.push(block)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 4000  # kB
