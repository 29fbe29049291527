"""MP4 headers that announce more than there is."""

from __future__ import annotations

import io
import struct

import pytest

from engine.byte_stream import ByteStream
from engine.errors import AudioError
from engine.mp4 import check_sample_counts
from tests.encoded_audio import av_encoded, drained, noise, refusal

FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}


def box(kind, *content):
    data = b"".join(content)
    return struct.pack(">I", 8 + len(data)) + kind + data


def numbers(*values):
    return struct.pack(f">{len(values)}I", *values)


def check(data):
    check_sample_counts(ByteStream(io.BytesIO(data)), "the file")


def refused(data):
    with pytest.raises(AudioError, match="at most one encoded sample per byte, got the file") as caught:
        check(data)
    return str(caught.value)


def track(n_samples, n_edits=1):
    tables = box(b"minf", box(b"stbl", box(b"stsz", numbers(0, 1, n_samples))))
    return box(b"trak", box(b"edts", box(b"elst", numbers(0, n_edits))), box(b"mdia", tables))


def test_as_many_samples_as_bytes_are_the_limit():
    size = len(box(b"moov", track(0)))
    check(box(b"moov", track(size)))
    assert f"{size + 1} samples, 1 times, in a file of {size} bytes" in refused(box(b"moov", track(size + 1)))


def test_tracks_and_fragments_are_added_up():
    padding = box(b"free", bytes(1000))
    check(padding + box(b"moov", track(600)))
    refused(padding + box(b"moov", track(600), track(600)))
    fragment = box(b"moof", box(b"traf", box(b"trun", numbers(0, 600))))
    check(padding + fragment)
    refused(padding + fragment + fragment)


def test_each_edit_repeats_the_samples():
    padding = box(b"free", bytes(1000))
    check(padding + box(b"moov", track(100, 5)))
    refused(padding + box(b"moov", track(100, 50)))


def test_boxes_of_64_bit_length_and_up_to_the_end():
    content = track(10**6)
    refused(struct.pack(">I4sQ", 1, b"moov", 16 + len(content)) + content)
    refused(struct.pack(">I4s", 0, b"moov") + content)
    refused(box(b"wide", box(b"moov", content)))


def test_a_compressed_header_is_refused():
    with pytest.raises(AudioError, match="plain header, got the file with a compressed one"):
        check(box(b"moov", box(b"cmov", bytes(100))))


@pytest.mark.parametrize(
    "data",
    [
        *(b"", bytes(3), bytes(100), numbers(4) + b"moov", numbers(1) + b"moov"),
        *(box(b"moov", numbers(32) + b"stsz"), box(b"moov", numbers(2**31) + b"trak")),
    ],
)
def test_boxes_that_make_no_sense_end_the_search(data):
    check(data + b"padding")


def test_boxes_nested_without_end_are_followed_no_deeper_than_ffmpeg_does():
    data = b""
    for _ in range(5000):
        data = box(b"moov", data)
    check(data)


@pytest.mark.parametrize("kind", ["stsz", "trun"])
def test_a_lying_header_costs_nothing(kind):
    """Encoded by PyAV; 2**30 samples announced would have FFmpeg allocate 40 GB."""
    samples = noise(5000)
    data = bytearray(av_encoded(samples, "mp4", "aac", options=FRAGMENTS if kind == "trun" else None))
    assert 5000 <= len(drained(bytes(data))) < 7000
    place = data.index(kind.encode()) + (12 if kind == "stsz" else 8)
    data[place : place + 4] = numbers(2**30)
    assert f"{2**30} samples" in refusal(bytes(data))
