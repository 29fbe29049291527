"""Labelled clips out of folders and tables, and what contradicts itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import TeachError
from engine.teach.examples import Example, read_examples, recording_of
from tests.teach.clips import noise, write


def table(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_folders_are_labels_also_for_deeper_ones(tmp_path):
    write(tmp_path / "rain" / "a.wav", noise("low", 0))
    write(tmp_path / "rain" / "roof" / "b.wav", noise("low", 1))
    write(tmp_path / "wind" / "c.wav", noise("high", 2))
    found = read_examples(tmp_path).examples
    assert [(each.name, each.labels) for each in found] == [
        ("rain/a.wav", ("rain",)),
        ("rain/roof/b.wav", ("rain",)),
        ("wind/c.wav", ("wind",)),
    ]


def test_a_clip_beside_the_folders_is_listed_with_the_reason(tmp_path):
    write(tmp_path / "rain" / "a.wav", noise("low", 0))
    stray = write(tmp_path / "b.wav", noise("low", 1))
    lesson = read_examples(tmp_path)
    assert [failure.path for failure in lesson.failures] == [str(stray)]
    assert "move it into one" in lesson.failures[0].reason
    assert len(lesson.examples) == 1


def test_a_table_has_several_labels_none_and_ones_to_be_filled_in(tmp_path):
    path = table(
        tmp_path / "clips.csv",
        "\ufefffile,label,source\na.wav,rain; wind,night\nsub/b.wav,-,\nc.wav,,night\nd_2.0_7.0.wav,wind,\n",
    )
    lesson = read_examples(path)
    assert [(each.path, each.labels, each.recording) for each in lesson.examples] == [
        (tmp_path / "a.wav", ("rain", "wind"), "night"),
        (tmp_path / "sub/b.wav", (), None),
        (tmp_path / "d_2.0_7.0.wav", ("wind",), "d"),
    ]
    assert lesson.n_unlabelled == 1


def test_folders_tables_and_examples_are_put_together(tmp_path):
    write(tmp_path / "clips" / "rain" / "a.wav", noise("low", 0))
    more = table(tmp_path / "more.csv", "file,label\nb.wav,wind\n")
    given = Example(tmp_path / "c.wav", ("wind", "rain"))
    found = read_examples([tmp_path / "clips", more, given]).examples
    assert [each.labels for each in found] == [("rain",), ("wind",), ("rain", "wind")]
    assert found[2].name == "c.wav"


def test_the_same_row_twice_is_one_clip(tmp_path):
    path = table(tmp_path / "clips.csv", "file,label\na.wav,rain\n./a.wav,rain\n")
    assert len(read_examples(path).examples) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\na.wav,rain\na.wav,wind\n", "'rain' and as 'wind'; keep the right one, .* 'rain;wind'"),
        ("file,label\na.wav,rain\na.wav,-\n", "'rain' and as '-'"),
        ("file,label\na.wav,rain;\n", "in row 2"),
        ("file,label\na.wav,rain;-\n", "or '-' alone"),
        ("file,label\n,rain\n", "expected a file in each row"),
        ("file,label\na.wav\n", "as many cells as columns .* row 2"),
        ("file,label\na.wav,rain,wind\n", "as many cells as columns .* row 2"),
        ("path,label\na.wav,rain\n", r"the columns file and label in .*, got \['path', 'label'\]"),
        ("file,label\n", "got no rows"),
        ("", "got no rows"),
        ("file,label\na.wav,\n", "got none, and 1 rows without a label"),
    ],
)
def test_tables_that_say_nothing_or_two_things_are_refused(tmp_path, text, words):
    with pytest.raises(TeachError, match=words):
        read_examples(table(tmp_path / "clips.csv", text))


def test_empty_input_is_refused(tmp_path):
    with pytest.raises(TeachError, match="got no audio"):
        read_examples(tmp_path)
    with pytest.raises(TeachError, match="cannot read"):
        read_examples(tmp_path / "none.csv")
    with pytest.raises(TeachError, match="in the examples, got none"):
        read_examples([])
    write(tmp_path / "rain" / "a.wav", noise("low", 0))
    (tmp_path / "wind").mkdir()
    with pytest.raises(TeachError, match="none in the folder 'wind'"):
        read_examples(tmp_path)
    with pytest.raises(TeachError, match="labels that are words"):
        read_examples([Example(tmp_path / "a.wav", ("-",))])


@pytest.mark.parametrize(
    ("name", "recording"),
    [
        ("night_12.50_17.50.flac", "night"),
        ("night 0.0s-5.0s.wav", "night"),
        ("night part 3.wav", "night"),
        ("night_Chunk12.wav", "night"),
        ("dog_1.wav", None),
        ("2024-11-05.wav", None),
        ("part 3.wav", None),
    ],
)
def test_a_name_that_ends_in_a_place_is_of_the_recording_before_it(name, recording):
    assert recording_of(Path(name), None) == recording


def test_a_pattern_of_ones_own_decides_alone():
    assert recording_of(Path("1-30226-A-0.ogg"), r"^\d-(\d+)-") == "30226"
    assert recording_of(Path("night_1.0_2.0.wav"), r"^\d-(\d+)-") is None
