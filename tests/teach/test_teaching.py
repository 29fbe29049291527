"""From labelled clips to one ONNX file: what it gives, what its card says, and what is refused."""

from __future__ import annotations

import builtins
import csv
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest

import engine
from engine import Embedder, Tagger
from engine.convert import convert_model
from engine.errors import ConfigError, ModelError, TeachError
from engine.teach import Example, teach
from engine.teach.embedded import window_embeddings
from engine.verify import verify_model
from tests import tiny_models
from tests.teach.clips import folder_of, noise, write
from tests.tiny_models import RATE


@pytest.fixture(scope="module")
def taught(folder, tiny, tmp_path_factory):
    return teach(folder, tmp_path_factory.mktemp("taught") / "mine.onnx", embedder=tiny)


def test_the_file_is_a_model_of_the_engine(taught, folder):
    tagger = Tagger(taught.path, "cpu", 1)
    assert tagger.labels == ("high", "low", "middle")
    for band in tagger.labels:
        assert tagger((noise(band, 999), RATE)).top(1)[0].label == band
    assert verify_model(taught.path).golden_error == 0
    assert [path.name for path in taught.path.parent.iterdir()] == ["mine.onnx"]


def test_embeddings_stay_those_of_the_embedder(taught, tiny):
    sound = (noise("low", 5, 2.5), RATE)
    assert np.array_equal(
        Tagger(taught.path, "cpu", 1).embed(sound).embedding, Embedder(tiny, "cpu", 1)(sound).embedding
    )


@pytest.mark.parametrize("reduce", ["mean", "max"])
def test_scores_are_the_heads_on_the_embedders_windows(folder, tiny, tmp_path, reduce):
    taught = teach(folder, tmp_path / "mine.onnx", embedder=tiny, reduce=reduce)
    sound = (np.concatenate([noise(band, 3, 1.3) for band in ("low", "high", "middle")]), RATE)
    windows = window_embeddings(Embedder(tiny, "cpu", 1)(sound).windows)
    assert len(windows) == 7
    clip = Tagger(taught.path, "cpu", 1)(sound)
    each = taught.head.scores(windows)
    assert np.stack([window.scores for window in clip.windows]) == pytest.approx(each, abs=1e-5)
    assert clip.scores == pytest.approx(getattr(each, reduce)(axis=0), abs=1e-5)


def test_the_card_says_how_it_was_made_on_which_files_and_how_good_it_is(taught, folder, tiny):
    card, embedder = taught.card, Embedder(tiny).card
    assert (card.name, card.task, card.score, card.reduce) == ("mine", "tag", "softmax", "mean")
    assert (card.frontend, card.window, card.hop, card.licence) == (
        embedder.frontend,
        embedder.window,
        embedder.hop,
        embedder.licence,
    )
    metrics = card.metrics
    assert metrics["made_from"] == {"name": "tiny", "model_sha256": embedder.model_sha256}
    assert metrics["clips"] == metrics["recordings"] == {"high": 5, "low": 5, "middle": 5}
    files = metrics["files"]["listed"]
    assert {each["name"] for each in files} == {path.relative_to(folder).as_posix() for path in folder.rglob("*.wav")}
    for each in files:
        assert each["sha256"] == hashlib.sha256((folder / each["name"]).read_bytes()).hexdigest()
    measured = metrics["measured"]
    assert measured["n_folds"] == len(measured["accuracy_by_fold"]) == 5
    assert measured["accuracy"] == np.mean(measured["accuracy_by_fold"]) == 1.0
    assert measured["accuracy_std_over_folds"] == 0.0
    # Fifteen recordings that are all right are no certainty.
    assert measured["accuracy_interval_95"] == [pytest.approx(0.796, abs=1e-3), 1.0]
    assert measured["confusion"] == [[5, 0, 0], [0, 5, 0], [0, 0, 5]]
    assert set(metrics["calibration"]["before"]) == set(metrics["calibration"]["after"])
    assert metrics["calibration"]["after"]["log_loss"] < metrics["calibration"]["before"]["log_loss"]
    assert "precision of 0.9 on 15 clips" in card.threshold_method
    assert set(card.thresholds) == set(card.labels)
    assert "the mean of its windows'" in metrics["pooling"]
    assert taught.warnings == ()
    assert taught.measurement.interval == tuple(measured["accuracy_interval_95"])


def test_the_same_seed_gives_the_same_file(taught, folder, tiny, tmp_path):
    again = teach(folder, tmp_path / "mine.onnx", embedder=tiny)
    assert again.path.read_bytes() == taught.path.read_bytes()
    hidden = [
        teach(folder, tmp_path / f"{name}" / "mine.onnx", embedder=tiny, head="mlp", seed=seed).path.read_bytes()
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
        if (tmp_path / name).mkdir() is None
    ]
    assert hidden[0] == hidden[1] != hidden[2]


def test_several_labels_at_once(tiny, tmp_path):
    rows = []
    for index in range(6):
        write(tmp_path / f"both{index}.wav", noise("low", index) + noise("high", 50 + index))
        write(tmp_path / f"low{index}.wav", noise("low", 100 + index))
        write(tmp_path / f"none{index}.wav", noise("middle", 200 + index))
        rows += [(f"both{index}.wav", "low;high"), (f"low{index}.wav", "low"), (f"none{index}.wav", "-")]
    with (tmp_path / "clips.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("file", "label"), *rows])
    taught = teach(tmp_path / "clips.csv", tmp_path / "mine.onnx", embedder=tiny)
    assert (taught.card.labels, taught.card.score, taught.card.reduce) == (("high", "low"), "sigmoid", "max")
    tagger = Tagger(taught.path, "cpu", 1)
    found = {name: [tag.label for tag in tagger(tmp_path / f"{name}5.wav").above()] for name in ("low", "none")}
    assert found == {"low": ["low"], "none": []}
    assert {tag.label for tag in tagger(tmp_path / "both5.wav").above()} == {"low", "high"}
    assert taught.measurement.confusion is None
    assert taught.measurement.accuracy > 0.8


def test_one_clip_of_each_label_is_taught_with_a_warning(tiny, tmp_path):
    taught = teach(folder_of(tmp_path / "clips", n=1), tmp_path / "mine.onnx", embedder=tiny)
    assert Tagger(taught.path, "cpu", 1)((noise("low", 9), RATE)).top(1)[0].label == "low"
    assert taught.measurement is None
    assert taught.card.metrics["measured"] is None
    assert set(taught.card.thresholds.values()) == {0.5}
    assert "one clip only of 'high', 'low', 'middle'" in taught.warnings[0]
    assert "nothing was measured" in taught.warnings[1]


def test_clips_of_one_recording_are_taught_but_not_measured(tiny, tmp_path):
    clips = folder_of(tmp_path / "clips", n=4)
    for index, path in enumerate(sorted((clips / "low").iterdir())):
        path.rename(path.with_name(f"pond_{index}.0_{index + 1}.0.wav"))
    taught = teach(clips, tmp_path / "mine.onnx", embedder=tiny)
    assert taught.card.metrics["recordings"] == {"high": 4, "low": 1, "middle": 4}
    assert "all clips of 'low' are of one recording" in taught.warnings[0]
    assert taught.measurement.n_clips == 8
    assert taught.card.metrics["measured"]["labels"]["low"]["precision"] is None
    assert "0.5 for low, of one recording" in taught.card.threshold_method


def test_copies_are_one_recording_also_in_another_container(tiny, tmp_path):
    import soundfile

    clips = folder_of(tmp_path / "clips", n=3)
    shutil.copy(clips / "low" / "low0.wav", clips / "low" / "copy.wav")
    samples, rate = soundfile.read(clips / "low" / "low1.wav")
    soundfile.write(clips / "low" / "other.flac", samples, rate)
    taught = teach(clips, tmp_path / "mine.onnx", embedder=tiny)
    assert taught.card.metrics["clips"]["low"] == 5
    assert taught.card.metrics["recordings"]["low"] == 3


@pytest.mark.parametrize("container", ["wav", "flac"])
def test_the_same_content_under_two_labels_is_refused(tiny, tmp_path, container):
    import soundfile

    clips = folder_of(tmp_path / "clips", n=2)
    samples, rate = soundfile.read(clips / "low" / "low0.wav")
    soundfile.write(clips / "high" / f"copy.{container}", samples, rate)
    with pytest.raises(TeachError, match=r"copy\.\w+' as 'high' and .*low0.wav', the same (file|sound).* as 'low'"):
        teach(clips, tmp_path / "mine.onnx", embedder=tiny)
    assert not (tmp_path / "mine.onnx").exists()


def test_bad_files_are_listed_and_the_rest_is_taught(tiny, tmp_path):
    clips = folder_of(tmp_path / "clips", n=3)
    (clips / "low" / "bad.wav").write_bytes(b"no audio")
    taught = teach(clips, tmp_path / "mine.onnx", embedder=tiny)
    assert [Path(failure.path).name for failure in taught.failures] == ["bad.wav"]
    assert "no format that libsndfile knows" in taught.failures[0].reason
    assert taught.card.metrics["clips"]["low"] == 3


def test_a_label_whose_clips_are_all_bad_is_refused(tiny, tmp_path):
    clips = folder_of(tmp_path / "clips", n=2)
    for path in (clips / "low").iterdir():
        path.write_bytes(b"no audio")
    with pytest.raises(TeachError, match=r"none of 'low': .*low0.wav.*libsndfile"):
        teach(clips, tmp_path / "mine.onnx", embedder=tiny)


def test_labels_that_cannot_be_taught_are_refused(folder, tiny, tmp_path):
    low = [Example(path, ("low",)) for path in sorted((folder / "low").iterdir())]
    high = [Example(path, ("low", "high")) for path in sorted((folder / "high").iterdir())]
    output = tmp_path / "mine.onnx"
    with pytest.raises(TeachError, match="two labels or more, got only 'low'"):
        teach(low, output, embedder=tiny)
    with pytest.raises(TeachError, match=r"exactly one label for each clip, .* got 2"):
        teach([*low, *high], output, embedder=tiny, score="softmax")
    with pytest.raises(TeachError, match="clips without 'low', got it as a label of every clip"):
        teach([*low, *high], output, embedder=tiny)
    with pytest.raises(TeachError, match="got none"):
        teach([Example(example.path, ()) for example in low], output, embedder=tiny)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": 0}, "precision above 0"),
        ({"precision": True}, "precision above 0"),
        ({"head": "deep"}, "head to be one of linear, mlp"),
        ({"score": "distance"}, "score to be one of"),
        ({"reduce": "sum"}, "reduce to be one of"),
        ({"seed": -1}, "seed"),
        ({"recording": "("}, "regular expression"),
        ({"recording": "x"}, "one group"),
    ],
)
def test_options_out_of_range_are_refused_before_anything_is_read(tmp_path, options, words):
    with pytest.raises(ConfigError, match=words):
        teach(tmp_path / "no_such_folder", tmp_path / "mine.onnx", **options)


def test_outputs_that_cannot_be_written_are_refused(taught, folder, tiny, tmp_path):
    with pytest.raises(ConfigError, match="which exists"):
        teach(folder, taught.path, embedder=tiny)
    with pytest.raises(ConfigError, match="end it with"):
        teach(folder, tmp_path / "mine", embedder=tiny)
    with pytest.raises(ConfigError, match="existing folder"):
        teach(folder, tmp_path / "none" / "mine.onnx", embedder=tiny)


def test_a_model_without_an_embedding_is_refused(folder, tmp_path):
    model = tiny_models.save(tmp_path / "bare.onnx", tiny_models.waveform_network(), tiny_models.waveform_card())
    with pytest.raises(ModelError, match="expected a model with an embedding"):
        teach(folder, tmp_path / "mine.onnx", embedder=model)


def test_without_scikit_learn_one_sentence_says_what_to_install(folder, tiny, tmp_path, monkeypatch):
    load = builtins.__import__

    def absent(name, *arguments, **keywords):
        if name.split(".")[0] == "sklearn":
            raise ImportError(name)
        return load(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", absent)
    with pytest.raises(ConfigError, match=r"pip install 'sound-engine\[teach\]'"):
        teach(folder, tmp_path / "mine.onnx", embedder=tiny)


def test_a_taught_model_can_be_converted_and_taught_again(taught, folder, tmp_path):
    waveform = convert_model(taught.path, "waveform", tmp_path)
    assert waveform.card.labels == taught.card.labels
    sound = (noise("low", 7), RATE)
    expected = Tagger(taught.path, "cpu", 1)(sound).scores
    assert Tagger(waveform.path, "cpu", 1)(sound).scores == pytest.approx(expected, abs=1e-4)
    for embedder in (taught.path, waveform.path):
        again = teach(folder, tmp_path / "again.onnx", embedder=embedder, overwrite=True)
        assert Tagger(again.path, "cpu", 1)(sound).scores == pytest.approx(expected, abs=1e-3)


def test_the_package_is_called_as_its_function(folder, tiny, tmp_path):
    import sys

    for number, call in enumerate((engine.teach, sys.modules["engine.teach"])):
        assert call(folder, tmp_path / f"{number}.onnx", embedder=tiny).path.is_file()


def test_real_clips_five_of_each_label(shared_data, tmp_path):
    """ESC-10 with its sources as recordings; the shipped embedder knows the sounds: this is about the way through."""
    paths = {path.name: path for path in (shared_data / "esc10_dev").rglob("*.ogg")}
    with (shared_data / "esc10_dev" / "meta.csv").open(newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["category"] in ("rain", "rooster", "helicopter")]
    first = [
        row
        for label in ("rain", "rooster", "helicopter")
        for row in [row for row in rows if row["category"] == label and row["fold"] != "1"][:5]
    ]
    clips = [Example(paths[row["filename"]], (row["category"],)) for row in first]
    taught = teach(clips, tmp_path / "mine.onnx", recording=r"^\d-(\d+)-", threads=1)
    assert verify_model(taught.path).golden_error == 0
    n_sources = len({row["src_id"] for row in first})
    assert sum(taught.card.metrics["recordings"].values()) == n_sources
    asked = [row for row in rows if row["fold"] == "1"]
    results = Tagger(taught.path, "cpu", 1).batch([paths[row["filename"]] for row in asked], on_error="raise")
    right = [clip.top(1)[0].label == row["category"] for clip, row in zip(results, asked, strict=True)]
    assert np.mean(right) > 0.9
    assert taught.measurement.interval[0] < np.mean(right)
