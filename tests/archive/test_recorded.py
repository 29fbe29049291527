"""When recordings were made: what recorders write, and what names say."""

from __future__ import annotations

import csv
import io
import struct
from datetime import datetime, timedelta

import pytest

from engine.archive.recorded import Recorded, recorded_at
from engine.archive.riff import MAX_CHUNKS, info_comment, read_chunks
from engine.errors import ConfigError

SENTENCE = "Recorded at 19:17:30 06/04/2018 (UTC{}) by AudioMoth 0FE081F80FE081F0 at gain setting 2"
AT = datetime(2018, 4, 6, 19, 17, 30)


def chunk(identifier, content):
    return identifier + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def wav(*chunks, form=b"RIFF"):
    body = b"WAVE" + chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 8000, 16000, 2, 16)) + b"".join(chunks)
    return form + struct.pack("<I", len(body)) + body


def sound(n_bytes=100):
    return chunk(b"data", b"\1" * n_bytes)


def audiomoth(sentence):
    inside = b"INFO" + chunk(b"IART", b"AudioMoth 0FE081F80FE081F0") + chunk(b"ICMT", sentence.encode() + b"\0\0\0")
    return chunk(b"LIST", inside)


def guano(time):
    return chunk(
        b"guan", f"GUANO|Version: 1.0\nMake: Pettersson\nOriginal Timestamp: 1\nTimestamp: {time}\nTE: 1\n".encode()
    )


def bext(date, time):
    return chunk(b"bext", b"d" * 256 + b"o" * 32 + b"r" * 32 + date + time + bytes(8 + 2 + 64 + 190))


def recorded(data, name="x.wav"):
    return recorded_at(name, io.BytesIO(data))


@pytest.mark.parametrize(
    ("zone", "offset"),
    [("", 0), ("+1", 60), ("-5", -300), ("+13", 780), ("+5:30", 330), ("-7:30", -450), ("-0:30", -30), ("+0:45", 45)],
)
def test_audiomoth_zones(zone, offset):
    assert recorded(wav(audiomoth(SENTENCE.format(zone)), sound())) == Recorded(AT, offset, "audiomoth")


def test_audiomoths_earliest_firmware_says_no_zone():
    sentence = "Recorded at 19:17:30 06/04/2018 by AudioMoth 0FE081F80FE081F0 at gain setting 2"
    assert recorded(wav(audiomoth(sentence), sound())) == Recorded(AT, None, "audiomoth")


def test_audiomoth_fractions_and_its_relatives():
    sentence = "Recorded at 19:17:30.250 06/04/2018 (UTC) by HydroMoth 0FE081F8 at low gain"
    assert recorded(wav(audiomoth(sentence))) == Recorded(AT + timedelta(milliseconds=250), 0, "audiomoth")


@pytest.mark.parametrize(
    ("time", "begin", "offset"),
    [
        ("2015-12-31T23:59:59", datetime(2015, 12, 31, 23, 59, 59), None),
        ("2015-12-31T23:59:59.123", datetime(2015, 12, 31, 23, 59, 59, 123000), None),
        ("2015-12-31T23:59:59Z", datetime(2015, 12, 31, 23, 59, 59), 0),
        ("2015-12-31T23:59:59.123456+04:00  ", datetime(2015, 12, 31, 23, 59, 59, 123456), 240),
        ("2015-12-31 23:59:59-03:30\r", datetime(2015, 12, 31, 23, 59, 59), -210),
    ],
)
def test_guano_times(time, begin, offset):
    assert recorded(wav(sound(101), guano(time))) == Recorded(begin, offset, "guano")


@pytest.mark.parametrize("time", ["2015-12-31", "2015-13-31T00:00:00", "yesterday", "", "2015-12-31T25:00:00"])
def test_what_is_no_time_in_guano(time):
    assert recorded(wav(guano(time))) is None


@pytest.mark.parametrize("separators", ["--::", "__--", "  ..", "::::"])
def test_bext(separators):
    a, b, c, d = separators.encode()
    date, time = b"2018%c04%c06" % (a, b), b"19%c17%c30" % (c, d)
    assert recorded(wav(bext(date, time), sound())) == Recorded(AT, None, "bext")


@pytest.mark.parametrize("date", [b"0000-00-00", b"2018-13-01", b"          ", bytes(10), b"\xff" * 10])
def test_what_is_no_date_in_bext(date):
    assert recorded(wav(bext(date, b"00:00:00"))) is None


def test_the_best_source_wins_wherever_it_lies():
    times = [bext(b"2001-01-01", b"01:01:01"), audiomoth(SENTENCE.format("")), guano("2003-03-03T03:03:03Z")]
    name = "20040404_040404.wav"
    assert recorded(wav(*times, sound()), name).origin == "guano"
    assert recorded(wav(sound(), *times[:2]), name).origin == "audiomoth"
    assert recorded(wav(times[0]), name).origin == "bext"
    assert recorded(wav(sound(), guano("nonsense")), name).origin == "name"


@pytest.mark.parametrize(
    ("name", "begin", "offset"),
    [
        ("20180406_191730.WAV", AT, None),
        ("20180406_191730T.WAV", AT, None),
        ("S4A03895_20180406_191730.flac", AT, None),
        ("SM3_0+1_20180406_191730_000.wav", AT, None),
        ("20180406-191730.wav", AT, None),
        ("20180406191730.m4a", AT, None),
        ("20180406T191730Z.wav", AT, 0),
        ("20180406_191730Z.wav", AT, 0),
        ("20180406T191730+1000_REC.wav", AT, 600),
        ("20180406T191730-0330.wav", AT, -210),
        ("20180406_191730-0500.wav", AT, None),
        ("site 7/20180406_191730.wav", AT, None),
        ("s3://bucket/20200101_000000/20180406_191730.wav", AT, None),
        ("zip://day/20180406_191730.wav::/a/20200101_000000.zip", AT, None),
        ("99999999_999999-20180406_191730.wav", AT, None),
        ("19991332_000000 20180406_191730.wav", AT, None),
        ("5AC7C9BA.WAV", datetime(2018, 4, 6, 19, 25, 46), 0),
        ("5AC7C9BA.flac", datetime(2018, 4, 6, 19, 25, 46), 0),
    ],
)
def test_names(name, begin, offset):
    assert recorded(b"fLaC", name) == Recorded(begin, offset, "name")


@pytest.mark.parametrize(
    "name",
    [
        "clip.wav",
        "20181306_191730.wav",
        "20180406_251730.wav",
        "120180406_191730.wav",
        "20180406_1917301.wav",
        "18990406_191730.wav",
        "20180406.wav",
        "5ac7c9ba.wav",
        "x5AC7C9BA.wav",
        "00000001.WAV",
        "FFFFFFFF.WAV",
        "20180406_191730/clip.wav",
        "",
    ],
)
def test_names_that_say_nothing(name):
    assert recorded(b"", name) is None


@pytest.mark.parametrize(
    ("pattern", "name", "begin", "offset"),
    [
        ("%d-%m-%Y %Hh%M", "hut 06-04-2018 19h17 b.wav", AT.replace(second=0), None),
        ("%y%j.%H%M%S", "x.18096.191730.wav", AT, None),
        ("%Y%m%d%H%M%S%z", "20180406191730+0530.wav", AT, 330),
        ("%H_%d.%m.%Y[a]", "99_99.99.2018[a] 19_06.04.2018[a].wav", AT.replace(minute=0, second=0), None),
        ("%Y%m%d_%H%M%S_%f", "20180406_191730_25.wav", AT.replace(microsecond=250000), None),
        ("%%%Y%m%d%H", "%2018040619.wav", AT.replace(minute=0, second=0), None),
    ],
)
def test_a_pattern_of_ones_own(pattern, name, begin, offset):
    inside = wav(guano("2001-01-01T01:01:01Z"))
    assert recorded_at(name, io.BytesIO(inside), pattern) == Recorded(begin, offset, "name")
    assert recorded_at("clip.wav", io.BytesIO(inside), pattern).origin == "guano"
    assert recorded_at("20180406_191730.wav", io.BytesIO(b""), "%y%j.%H%M%S") == Recorded(AT, None, "name")


@pytest.mark.parametrize(
    "pattern", ["", "%Y", "%Y%m%d", "%H%M", "%Y%m%d %H %A", "%Y%m%d%H%", "*.wav", "%c", "%Y%m%d%H_%H"]
)
def test_patterns_that_give_no_time(pattern):
    with pytest.raises(ConfigError, match="expected a pattern of"):
        recorded_at("x.wav", io.BytesIO(b""), pattern)


def test_a_file_object_keeps_its_position_and_begins_there():
    file = io.BytesIO(b"before" + wav(audiomoth(SENTENCE.format("")), sound()))
    file.seek(6)
    assert recorded_at("x.wav", file) == Recorded(AT, 0, "audiomoth")
    assert file.tell() == 6


def test_a_path(tmp_path):
    path = tmp_path / "x.wav"
    path.write_bytes(wav(sound(), guano("2018-04-06T19:17:30")))
    assert recorded_at(str(path), path) == recorded_at(str(path), str(path)) == Recorded(AT, None, "guano")


def test_files_beyond_four_gibibytes():
    n_bytes = 1 << 33
    sizes = chunk(b"ds64", struct.pack("<QQQI", n_bytes + 100, n_bytes, 0, 0))
    file = Sparse(wav(sizes, b"data\xff\xff\xff\xff", form=b"RF64"), n_bytes, guano("2018-04-06T19:17:30"))
    assert recorded_at("x.wav", file) == Recorded(AT, None, "guano")


class Sparse:
    """A file of a head, so many zeros, and a tail."""

    def __init__(self, head, n_zeros, tail):
        self.parts = [(0, head), (len(head) + n_zeros, tail)]
        self.position = 0

    def tell(self):
        return self.position

    def seek(self, position):
        self.position = position

    def read(self, n_bytes):
        start, self.position = self.position, self.position + n_bytes
        for at, data in self.parts:
            if at <= start < at + len(data):
                return data[start - at : start - at + n_bytes]
        return b""


class Counting(io.BytesIO):
    n_read = 0
    largest = 0

    def read(self, n_bytes=-1):
        assert n_bytes >= 0
        data = super().read(n_bytes)
        self.n_read += 1
        self.largest = max(self.largest, n_bytes)
        return data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"RIFF\0\0\0\0WAVE",
        b"RIFF\0\0\0\0AVI ",
        wav(b"guan\xff\xff\xff\xffGUANO|Version: 1.0\nTimestamp: "),
        wav(b"LIST\xff\xff\xff\xffINFOICMT\xff\xff\xff\xff"),
        wav(b"LIST\x04\0\0\0INFO"),
        wav(b"LIST\x0a\0\0\0INFOICMT\xff\xff"),
        wav(b"bext\x02\0\0\0xx"),
        wav(chunk(b"ds64", b"\xff" * 28), b"data\xff\xff\xff\xff", form=b"RF64"),
        wav(chunk(b"ds64", b""), b"data\xff\xff\xff\xff" * 9, form=b"BW64"),
        wav(b"data\xff\xff\xff\xffabc"),
        wav(b"junk\0\0\0\0" * 100_000),
        wav(*[chunk(b"LIST", b"INFO" + bytes(1000))] * 1000),
    ],
)
def test_hostile_files_are_neither_allocated_nor_searched_for_ever(data):
    file = Counting(data)
    assert recorded_at("x.wav", file) is None
    assert file.n_read <= 2 + 2 * MAX_CHUNKS
    assert file.largest <= 1 << 16


def test_every_truncation_and_every_flipped_byte_of_a_header():
    data = wav(audiomoth(SENTENCE.format("+1")), bext(b"2018-04-06", b"19:17:30"), guano("2018-04-06T19:17:30Z"))
    for n_bytes in range(len(data)):
        recorded(data[:n_bytes])
    for place in range(len(data)):
        recorded(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])


def test_chunks_of_odd_length_are_padded():
    data = wav(chunk(b"odd ", b"x"), chunk(b"abcd", b"one"), chunk(b"abcd", b"two"))
    assert list(read_chunks(io.BytesIO(data), {b"abcd"})) == [(b"abcd", b"one"), (b"abcd", b"two")]


def test_lists_without_a_comment():
    assert info_comment(b"adtl" + chunk(b"ICMT", b"x")) is None
    assert info_comment(b"INFO" + chunk(b"IART", b"x")) is None
    assert info_comment(b"INFO" + chunk(b"IART", b"x") + chunk(b"ICMT", "ä".encode())) == "ä"


def test_a_day_of_field_recordings(shared_data):
    folder = shared_data / "longform_dev"
    with (folder / "manifest.csv").open(newline="") as file:
        names = sorted(row["path"] for row in csv.DictReader(file) if row["path"].startswith("maad_day"))
    times = [recorded_at(str(folder / name), folder / name) for name in names]
    midnight = datetime(2019, 5, 22)
    assert times == [Recorded(midnight + timedelta(minutes=15 * k), None, "name") for k in range(96)]
