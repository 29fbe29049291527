"""A bank gives what its configurations give one by one, bit for bit, and shares what it says it shares."""

from __future__ import annotations

import pickle
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import _kernels
from engine.errors import AudioError, ConfigError
from engine.frontend import FrontendConfig, LogMel, LogMelBank
from engine.frontend.log_mel import compiled_plan
from tests.test_frontend import CHUNK, SMALL, VARIANTS, noise

pytestmark = pytest.mark.filterwarnings("ignore:mel filters")


def assert_as_alone(configs: list[FrontendConfig], x: np.ndarray, threads: int = 1) -> None:
    results = LogMelBank(configs, threads)(x)
    assert len(results) == len(configs)
    for config, values in zip(configs, results, strict=True):
        np.testing.assert_array_equal(values, LogMel(config)(x))


def n_groups(*configs: FrontendConfig) -> int:
    return _kernels.LogMelBank([compiled_plan(config) for config in configs]).n_groups


@pytest.mark.parametrize("n", [0, 1, 49, 50, 51, 400, 2413])
def test_every_setting_beside_every_other(n: int) -> None:
    configs = [replace(SMALL, **changes) for changes in VARIANTS.values()]
    assert_as_alone(configs, noise(n))
    assert_as_alone(configs[::-1] + configs, noise(n))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 3000),
    hop=st.sampled_from([1, 7, 20, 49, 50, 51, 130]),
    geometries=st.lists(
        st.tuples(
            st.integers(1, 140), st.sampled_from([140, 141, 160, 256]), st.integers(1, 20), st.sampled_from([0.0, 0.9])
        ),
        min_size=1,
        max_size=4,
    ),
    framings=st.lists(st.sampled_from(["center", "center_trimmed", "valid", "mirror"]), min_size=4, max_size=4),
    changes=st.fixed_dictionaries({"pad_mode": st.sampled_from(["reflect", "constant"]), "remove_dc": st.booleans()}),
    threads=st.integers(1, 3),
)
def test_any_geometries_give_the_bits_of_each_alone(
    n: int,
    hop: int,
    geometries: list[tuple[int, int, int, float]],
    framings: list[str],
    changes: dict[str, str | bool],
    threads: int,
) -> None:
    configs = [
        FrontendConfig(8000, win, hop, n_fft, n_mels, framing=framing, preemphasis=factor, **changes)
        for (win, n_fft, n_mels, factor), framing in zip(geometries, framings, strict=False)
    ]
    assert_as_alone(configs, noise(n, seed=n), threads)


@pytest.mark.parametrize("frames", [1, 15, 16, 17, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
def test_lengths_around_block_edges(frames: int) -> None:
    # The framings differ in their number of frames: some end inside the last block of another.
    configs = [replace(SMALL, framing=framing) for framing in ("center", "center_trimmed", "valid")]
    configs += [replace(SMALL, win_length=64, n_fft=128), replace(SMALL, win_length=30, framing="valid")]
    for extra in (-1, 0, 1):
        assert_as_alone(configs, noise(SMALL.win_length + (frames - 1) * SMALL.hop_length + extra))


def test_what_is_shared() -> None:
    wide, other_hop = replace(SMALL, win_length=120, n_fft=128), replace(SMALL, hop_length=21)
    whole = replace(SMALL, framing="valid")
    assert n_groups(SMALL, wide, replace(SMALL, n_mels=3), whole) == 1
    assert n_groups(SMALL, other_hop, replace(other_hop, log="dB")) == 2
    assert n_groups(SMALL, replace(SMALL, framing="mirror"), whole) == 2
    assert n_groups(whole, replace(SMALL, framing="mirror"), SMALL) == 2
    assert n_groups(SMALL, replace(SMALL, remove_clip_mean=True)) == 2
    of_clip = replace(SMALL, preemphasis=0.9, preemphasis_scope="clip")
    assert n_groups(SMALL, of_clip, replace(of_clip, preemphasis=0.8), of_clip) == 3


def test_batches_lists_and_long_clips() -> None:
    configs = [SMALL, replace(SMALL, n_mels=5, log_reference="max"), replace(SMALL, hop_length=7, zscore=True)]
    assert_as_alone(configs, np.stack([noise(1500, seed=i) for i in range(5)]), threads=2)
    assert_as_alone(configs, np.zeros((0, 400), np.float32))
    assert_as_alone(configs, noise(60_000), threads=3)
    clips = [noise(n, seed=n) for n in (0, 10, 3000, 777)]
    for config, values in zip(configs, LogMelBank(configs, threads=2)(clips), strict=True):
        for one, expected in zip(values, LogMel(config)(clips), strict=True):
            np.testing.assert_array_equal(one, expected)
    assert LogMelBank(configs)([]) == [[], [], []]


def test_outputs_are_reused() -> None:
    configs, x = [SMALL, replace(SMALL, n_mels=5)], noise(4000)
    bank = LogMelBank(configs)
    out = [np.full((config.n_frames(4000), config.n_mels), np.nan, np.float32) for config in configs]
    for given_array, result, fresh in zip(out, bank(x, out=out), bank(x), strict=True):
        assert result is given_array
        np.testing.assert_array_equal(result, fresh)


def test_many_threads_share_one_bank() -> None:
    configs, x = [SMALL, replace(SMALL, win_length=64)], noise(200_000)
    bank = LogMelBank(configs)
    results: list[list[np.ndarray]] = [[] for _ in range(4)]
    threads = [threading.Thread(target=lambda i=i: results[i].extend(bank(x))) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = [LogMel(config)(x) for config in configs]
    for result in results:
        for mine, alone in zip(result, expected, strict=True):
            np.testing.assert_array_equal(mine, alone)


def test_the_interpreter_lock_is_released() -> None:
    config, x = replace(SMALL, hop_length=1), noise(400_000)
    bank, running, ticks = LogMelBank([config, replace(config, win_length=64)]), threading.Event(), 0

    def work() -> None:
        running.set()
        bank(x)

    thread = threading.Thread(target=work)
    thread.start()
    running.wait()
    while thread.is_alive():
        ticks += 1
    thread.join()
    assert ticks > 100, "the main thread stood still while the kernels ran"


def test_a_bank_survives_pickle() -> None:
    bank = pickle.loads(pickle.dumps(LogMelBank([SMALL, replace(SMALL, n_mels=5)], threads=2)))
    assert repr(bank) == "LogMelBank(2 configurations, 8000 Hz)"
    assert bank.threads == 2
    assert [values.shape[1] for values in bank(noise(500))] == [12, 5]


class TestRefusals:
    """One sentence each: expected, got, what to do."""

    def test_configurations(self) -> None:
        with pytest.raises(ConfigError, match="at least one configuration, got none"):
            LogMelBank([])
        with pytest.raises(ConfigError, match="one sample rate, got 8000 Hz, 16000 Hz"):
            LogMelBank([SMALL, FrontendConfig(16000, 400, 160, 512, 40)])
        with pytest.raises(ConfigError, match="at least 1 thread, got 0"):
            LogMelBank([SMALL], threads=0)

    def test_waveforms_and_outputs(self) -> None:
        bank = LogMelBank([SMALL, replace(SMALL, n_mels=5)])
        fits = [np.zeros((6, 12), np.float32), np.zeros((6, 5), np.float32)]
        with pytest.raises(TypeError, match="got float64"):
            bank(np.zeros(100))
        with pytest.raises(AudioError, match=r"got \(2, 3, 4\)"):
            bank(np.zeros((2, 3, 4), np.float32))
        with pytest.raises(AudioError, match=r"got \(2, 3\) at 1"):
            bank([noise(5), np.zeros((2, 3), np.float32)])
        with pytest.raises(TypeError, match="a list of 2 arrays, got 1"):
            bank(noise(100), out=fits[:1])
        with pytest.raises(TypeError, match="a list of 2 arrays, got ndarray"):
            bank(noise(100), out=fits[0])
        with pytest.raises(TypeError, match=r"float32 array of shape \(6, 5\), got float32 \(6, 12\)"):
            bank(noise(100), out=[fits[0], fits[0]])
        with pytest.raises(TypeError, match=r"float32 array of shape \(6, 5\), got NoneType"):
            bank(noise(100), out=[fits[0], None])
        with pytest.raises(TypeError, match="out=None for a list"):
            bank([noise(100)], out=fits)

    @pytest.mark.parametrize("position", [0, 777, 1999])
    def test_samples_that_are_not_finite(self, position: int) -> None:
        x = noise(2000)
        x[position] = np.nan
        bank = LogMelBank([replace(SMALL, framing="valid"), SMALL])
        with pytest.raises(AudioError, match=f"got nan at sample {position}"):
            bank(x)
        with pytest.raises(AudioError, match="waveform 1: expected finite"):
            bank([noise(2000), x])

    def test_an_empty_filter_is_named_where_the_bank_is_made(self) -> None:
        with pytest.warns(UserWarning, match=r"mel filters \[0") as caught:
            LogMelBank([SMALL, FrontendConfig(8000, 50, 20, 64, 40)])
        assert {warning.filename for warning in caught} == {__file__}
