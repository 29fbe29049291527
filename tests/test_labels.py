"""Label files: AudioSet's table, YAMNet's, plain lists, and everything that would shift labels against scores."""

from __future__ import annotations

import pytest

from engine.errors import ConfigError
from engine.labels import read_labels


@pytest.fixture
def write(tmp_path):
    def make(text, encoding="utf-8"):
        path = tmp_path / "labels.csv"
        path.write_bytes(text.encode(encoding))
        return path

    return make


def test_audioset_s_table(write):
    table = 'index,mid,display_name\n0,/m/09x0r,"Speech"\n1,/m/05zppz,"Male speech, man speaking"\n2,/m/02zsn,Dog\n'
    assert read_labels(write(table)) == ("Speech", "Male speech, man speaking", "Dog")


def test_yamnet_s_table(shared_data):
    labels = read_labels(shared_data / "models" / "yamnet" / "yamnet_class_map.csv")
    assert len(labels) == 521
    assert labels[0] == "Speech"
    assert labels[-1] == "Field recording"
    assert "Domestic animals, pets" in labels


@pytest.mark.parametrize("column", ["display_name", "label", "name"])
def test_a_table_with_other_columns(write, column):
    assert read_labels(write(f"id,{column}\n7,rain\n3,wind\n")) == ("rain", "wind")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("rain\nwind\n", ("rain", "wind")),
        ("rain\r\nwind", ("rain", "wind")),
        ("speech, male\nrain\n", ("speech, male", "rain")),
        ("speech\n", ("speech",)),
        ("\ufeffrain\nZoë\n", ("rain", "Zoë")),
    ],
)
def test_one_label_per_line(write, text, labels):
    assert read_labels(write(text)) == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "got an empty one"),
        ("label\n", "got an empty one"),
        ("rain\n\nwind\n", "got an empty one"),
        ("rain\nwind\nrain\n", r"differ from each other .* got \['rain'\] more than once"),
        ("0,/m/1,rain\n1,/m/2,wind\n", "expected a column display_name, label, name .* begins with '0,/m/1,rain'"),
        ("index,label\n1,rain\n0,wind\n", "'index' .* to count from 0, got another order; sort the rows"),
        ("index,label\n0,speech, male\n1,rain\n", "expected 2 columns .* another number in line 2; quote"),
    ],
)
def test_what_would_shift_labels_is_refused(write, text, message):
    with pytest.raises(ConfigError, match=message):
        read_labels(write(text))


def test_a_file_that_is_no_text_is_refused(write, tmp_path):
    with pytest.raises(ConfigError, match="expected a text file of labels"):
        read_labels(write("Zoë\n", "latin-1"))
    with pytest.raises(ConfigError, match=r"No such file.*name another"):
        read_labels(tmp_path / "none.csv")
