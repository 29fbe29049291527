"""The waveform contract: float32, mono, finite, at the rate asked for, the same for any block length."""

from __future__ import annotations

import io
import sys
from fractions import Fraction

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.audio import MAX_RESAMPLING_RATIO, load, open_audio
from engine.decode_sndfile import MAX_BLOCK_SAMPLES, SndfileDecoder
from engine.errors import AudioError, ConfigError

RATE = 8000


def noise(*shape):
    return np.random.default_rng(7).uniform(-1, 1, shape).astype(np.float32)


def wav(samples, rate=RATE, subtype="FLOAT"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype=subtype)
    return file.getvalue()


# Long enough for several reads of the file and many steps of the resampler.
LONG = noise(MAX_BLOCK_SAMPLES + 12_345, 2)
LONG_WAV = wav(LONG)
LONG_LOADED = {rate: load(LONG_WAV, rate)[0] for rate in (None, 5000, 11_025)}


@pytest.mark.parametrize("rate", [None, 5000, 11_025])
@settings(max_examples=25, deadline=None)
@given(
    n_samples=st.one_of(
        st.integers(1000, 2**20), st.sampled_from([MAX_BLOCK_SAMPLES - 1, MAX_BLOCK_SAMPLES, sys.maxsize])
    )
)
def test_blocks_of_any_length_join_to_the_same_bits(rate, n_samples):
    with open_audio(LONG_WAV, rate) as reader:
        blocks = list(reader.blocks(n_samples))
    assert {len(block) for block in blocks[:-1]} <= {n_samples}
    assert 1 <= len(blocks[-1]) <= n_samples
    assert all(block.flags.c_contiguous and block.dtype == np.float32 and block.ndim == 1 for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks), LONG_LOADED[rate])


@settings(max_examples=25, deadline=None)
@given(n_frames=st.integers(1, 300), n_samples=st.integers(1, 301), rate=st.sampled_from([None, 5000, 11_025]))
def test_short_clips_in_short_blocks(n_frames, n_samples, rate):
    source = (noise(n_frames), RATE)
    with open_audio(source, rate) as reader:
        blocks = list(reader.blocks(n_samples))
    np.testing.assert_array_equal(np.concatenate(blocks), load(source, rate)[0])
    assert [len(block) for block in blocks[:-1]] == [n_samples] * (len(blocks) - 1)


@pytest.mark.parametrize("read_length", [1, 7, 1000, 99_999])
def test_the_length_of_reads_does_not_show_in_resampled_audio(monkeypatch, read_length):
    monkeypatch.setattr("engine.decode_sndfile.MAX_BLOCK_SAMPLES", read_length)
    short = wav(LONG[:3000] if read_length < 1000 else LONG)
    got, _ = load(short, 5000)
    monkeypatch.undo()
    np.testing.assert_array_equal(got, load(short, 5000)[0])


def test_equal_rates_change_nothing():
    samples = noise(5000)
    for rate in (None, RATE):
        loaded, loaded_rate = load((samples, RATE), rate)
        assert loaded_rate == RATE
        np.testing.assert_array_equal(loaded, samples)
        assert not np.shares_memory(loaded, samples)


@settings(max_examples=60, deadline=None)
@given(
    n_samples=st.integers(1, 3000),
    source_rate=st.sampled_from([8000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 44_101]),
    rate=st.sampled_from([8000, 16_000, 32_000, 44_100, 48_000]),
)
def test_resampled_length_is_the_nearest_whole_number(n_samples, source_rate, rate):
    exact = Fraction(n_samples * rate, source_rate)
    if exact <= Fraction(1, 2):
        with pytest.raises(AudioError, match="less than half a sample"):
            load((noise(n_samples), source_rate), rate)
    else:
        assert abs(len(load((noise(n_samples), source_rate), rate)[0]) - exact) <= Fraction(1, 2)


def test_a_clip_shorter_than_half_a_sample_of_the_new_rate_is_refused():
    with pytest.raises(AudioError, match="less than half a sample at 8000 Hz"):
        load((noise(1), 44_100), 8000)


@pytest.mark.parametrize("n_samples", [1, 999, 1000, 5000, 2**19])
def test_blocks_of_a_waveform_are_views_of_the_array(n_samples):
    samples = noise(5000)
    with open_audio((samples, RATE), RATE) as reader:
        blocks = list(reader.blocks(n_samples))
    assert all(np.shares_memory(block, samples) and not block.flags.writeable for block in blocks)
    np.testing.assert_array_equal(np.concatenate(blocks), samples)


@pytest.mark.parametrize(("source_rate", "rate"), [(44_100, 16_000), (16_000, 44_100), (48_000, 44_100), (8000, 8001)])
def test_resampling_is_soxr_hq_and_keeps_a_tone(source_rate, rate):
    t = np.arange(source_rate) / source_rate
    tone = np.sin(2 * np.pi * 1000 * t).astype(np.float32)
    got, got_rate = load((tone, source_rate), rate)
    assert got_rate == rate
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, soxr.resample(tone, source_rate, rate, quality="HQ"), atol=1e-6)
    middle = slice(rate // 4, rate // 2)
    np.testing.assert_allclose(got[middle], np.sin(2 * np.pi * 1000 * np.arange(rate) / rate)[middle], atol=1e-4)


def test_channels_are_averaged_or_one_is_taken():
    frames = noise(1000, 3)
    for source in ((frames, RATE), wav(frames), {"array": frames, "sampling_rate": RATE}):
        mean = np.mean(frames.astype(np.float64), axis=1)
        np.testing.assert_allclose(load(source)[0], mean, atol=1e-7)
        for channel in range(3):
            np.testing.assert_array_equal(load(source, channel=channel)[0], frames[:, channel])
    mono = noise(1000)
    np.testing.assert_array_equal(load((mono, RATE), channel=0)[0], mono)


@pytest.mark.parametrize("channel", [-1, 2, 10**30, True, 0.5, "left"])
def test_a_channel_that_is_not_there_is_refused(channel):
    with pytest.raises(AudioError, match=r"expected a channel from 0 to 1, got channel="):
        open_audio((noise(10, 2), RATE), channel=channel)


def test_16_bit_wav_equals_the_float_path():
    samples = (noise(4000, 2) * 32767).astype(np.int16)
    np.testing.assert_array_equal(load(wav(samples, subtype="PCM_16"))[0], load(wav(samples, subtype="PCM_32"))[0])
    np.testing.assert_array_equal(load(wav(samples, subtype="PCM_16"))[0], load((samples, RATE))[0])


def test_whoever_looks_for_bad_samples_may_have_them():
    samples = np.array([0, np.nan, np.inf, 1], np.float32)
    with open_audio((samples, 8000)) as reader:
        np.testing.assert_array_equal(np.concatenate(list(reader.blocks(3, checked=False))), samples)
    with open_audio((np.tile(samples, 1000), 8000), sample_rate=16000) as reader, pytest.raises(AudioError):
        list(reader.blocks(3, checked=False))  # a resampler spreads them: they are looked for before


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("rate", [None, 5000])
def test_a_sample_that_is_not_finite_is_named_by_its_place(tmp_path, value, rate):
    position = MAX_BLOCK_SAMPLES + 100
    samples = np.zeros(MAX_BLOCK_SAMPLES + 1000, np.float32)
    samples[position:] = value
    path = tmp_path / "bad.wav"
    path.write_bytes(wav(samples))
    for source, label in ((path, "bad.wav"), ((samples, RATE), "the given array"), (wav(samples), "the given bytes")):
        with pytest.raises(AudioError) as caught:
            load(source, rate)
        message = str(caught.value)
        assert f"got {np.float32(value)} at sample {position} ({position / RATE:.6f} s)" in message
        assert label in message


def test_samples_whose_sum_is_beyond_float32_are_finite():
    samples = np.full(1000, np.finfo(np.float32).max)
    np.testing.assert_array_equal(load((samples, RATE))[0], samples)


def test_infinite_samples_that_cancel_are_not_finite():
    samples = noise(1000)
    samples[[100, 900]] = np.inf, -np.inf
    with pytest.raises(AudioError, match="got inf at sample 100 "):
        load((samples, RATE))


def test_only_channels_that_are_used_must_be_finite():
    frames = noise(100, 2)
    frames[50, 1] = np.nan
    np.testing.assert_array_equal(load((frames, RATE), channel=0)[0], frames[:, 0])
    for channel in (1, None):
        with pytest.raises(AudioError, match="sample 50 "):
            load((frames, RATE), channel=channel)


def test_numbers_beyond_float32_are_refused_without_a_warning():
    largest = float(np.finfo(np.float32).max)
    for samples in (np.full(10, 1e39), np.full((10, 2), largest, np.float32)):
        with pytest.raises(AudioError, match="got inf"):
            load((samples, RATE))
    square = np.where(np.arange(1000) // 100 % 2, largest, -largest).astype(np.float32)
    with pytest.raises(AudioError, match="resampled"):
        load((square, RATE), 5000)


@pytest.mark.parametrize(
    "source", [(np.zeros(0), RATE), (np.zeros((0, 2)), RATE), ([], RATE), wav(np.zeros(0)), (np.zeros((5, 0)), 1)]
)
def test_audio_without_samples_is_refused(source):
    with pytest.raises(AudioError, match="got no samples"):
        load(source)
    with pytest.raises(AudioError, match="got no samples"):
        load(source, 16_000 if source[1] != 1 else None)


@pytest.mark.parametrize("rate", [0, -1, 1_000_001, 10**400, np.nan, np.inf, 44_100.5, "8000", None, True, [8000], 1j])
def test_absurd_rates_are_refused(rate):
    with pytest.raises(AudioError, match="expected a sample rate in whole Hz from 1 to 1000000, got"):
        load((noise(10), rate))
    if rate is not None:
        with pytest.raises(AudioError, match="expected a sample rate in whole Hz from 1 to 1000000, got"):
            load((noise(10), RATE), rate)


@pytest.mark.parametrize("rate", [8000, 8000.0, np.int32(8000), np.float32(8000)])
def test_whole_numbers_of_any_type_are_rates(rate):
    got = load((noise(10), rate))[1]
    assert got == 8000
    assert type(got) is int


def test_rates_further_apart_than_the_resampler_can_bridge_are_refused():
    factor = MAX_RESAMPLING_RATIO
    assert len(load((noise(50), 100), 100 * factor)[0]) == 50 * factor
    assert len(load((noise(50 * factor), 100 * factor), 100)[0]) == 50
    for source_rate, rate in ((100, 100 * factor + 1), (100 * factor + 1, 100)):
        with pytest.raises(AudioError, match="factor of 1000"):
            load((noise(50), source_rate), rate)


def test_pieces_stay_small_at_the_widest_ratio():
    with open_audio((noise(2000), 1000), 1_000_000) as reader:
        largest = max(map(len, reader._resampled()))
    assert largest <= 2**20


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (np.zeros(10, np.float32), "needs its sample rate beside it"),
        (None, "got NoneType"),
        (7, "got int"),
        ((noise(10), RATE, "more"), "got tuple"),
        ({"array": noise(10)}, "keys 'array' and 'sampling_rate'"),
    ],
)
def test_what_is_no_source_is_refused(source, reason):
    with pytest.raises(AudioError, match=reason):
        open_audio(source)


@pytest.mark.parametrize("n_samples", [0, -1, 1.5, None, True])
def test_a_block_length_is_a_positive_whole_number(n_samples):
    with open_audio((noise(10), RATE)) as reader, pytest.raises(ConfigError, match="block length"):
        reader.blocks(n_samples)


def test_a_reader_reads_once():
    with open_audio((noise(10), RATE)) as reader:
        assert len(list(reader.blocks(100))) == 1
        with pytest.raises(AudioError, match="open it again"):
            reader.blocks(100)
    closed = open_audio(wav(noise(10)))
    closed.close()
    with pytest.raises(AudioError, match="open it again"):
        closed.blocks(100)


def test_name_and_rate_of_a_reader(tmp_path):
    path = tmp_path / "clip.wav"
    path.write_bytes(wav(noise(100)))
    with open_audio(path) as reader:
        assert (reader.name, reader.sample_rate) == (str(path), RATE)
    with open_audio(path, 16_000) as reader:
        assert reader.sample_rate == 16_000
    for source in (path.read_bytes(), (noise(10), RATE), io.BytesIO(path.read_bytes())):
        with open_audio(source) as reader:
            assert reader.name is None


def test_the_decoder_is_closed_in_the_end_and_after_a_refusal(monkeypatch):
    closed = []
    monkeypatch.setattr(SndfileDecoder, "close", lambda decoder: closed.append(decoder.label))
    with open_audio(wav(noise(100))):
        assert closed == []
    assert closed == ["the given bytes"]
    with pytest.raises(AudioError):
        open_audio(io.BytesIO(wav(noise(100))), channel=5)
    assert closed == ["the given bytes", "the given file object"]


def test_a_given_file_object_stays_open():
    file = io.BytesIO(wav(noise(100)))
    load(file)
    assert not file.closed


def test_a_torch_tensor_is_an_array():
    torch = pytest.importorskip("torch")
    samples = noise(100)
    np.testing.assert_array_equal(load((torch.from_numpy(samples), RATE))[0], samples)
    with pytest.raises(AudioError, match="transpose"):
        load((torch.from_numpy(samples)[None], RATE))
