"""The tab Models: cards as pages, and figures side by side."""

from __future__ import annotations

import html
import re
import shutil

import pytest

from engine.app.comparing import Candidate, accuracy_of, candidates, card_html, compared, report_html
from engine.bench.report import Report, Row
from engine.convert.variants import convert_model
from engine.registry import find_model, models_folder


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for name in ("copy", "mine"):
        shutil.copy(find_model("esc10"), folder / f"{name}.onnx")
    convert_model("esc10", "waveform", folder)
    (folder / "broken.onnx").write_bytes(b"no model")
    return candidates(folder / "mine.onnx")


def test_models_beside_the_given_one_are_candidates_and_broken_ones_are_not(found):
    shipped = {path.name for path in models_folder().glob("*.onnx")} - {"esc10.onnx"}
    names = [each.path.name for each in found.values()]
    assert names[:2] == ["mine.onnx", "esc10-waveform.onnx"]
    # Those that are found by name come behind; esc10 is there already, as a copy.
    assert shipped == set(names[2:])


def test_a_card_is_a_page_with_everything_of_the_card(found):
    candidate = next(iter(found.values()))
    text = html.unescape(re.sub(r"<[^>]+>", "|", card_html(candidate)))
    for part in ("crackling fire", candidate.card.licence, candidate.card.training_data, candidate.card.model_sha256):
        assert part in text
    assert card_html(candidate).count("<h3>") >= 6


def test_names_in_cards_are_no_html(found):
    from dataclasses import replace

    candidate = next(iter(found.values()))
    odd = Candidate(candidate.path, replace(candidate.card, licence="<script>alert(1)</script>"))
    assert "<script>" not in card_html(odd)


def test_a_row_has_accuracy_size_and_measured_times(found):
    found = dict(list(found.items())[:2])
    rows = compared(found, 1, measure=False)
    assert [row[4] for row in rows] == [""] * 2
    accuracy = f"accuracy {next(iter(found.values())).card.metrics['accuracy']:.3g}"
    assert [row[1] for row in rows] == [accuracy, accuracy]
    assert float(rows[0][2]) == pytest.approx(find_model("esc10").stat().st_size / 1e6, abs=0.01)
    measured = compared(found, 1, measure=True)
    assert all(0 < float(row[4]) < 10_000 for row in measured)
    assert measured[0][6] == ""
    assert float(measured[1][6]) < 1e-4


@pytest.mark.parametrize(
    ("metrics", "text"),
    [
        ({}, ""),
        ({"n_clips": 3, "folds": {"accuracy": 0.90625, "std": 0.1}}, "folds.accuracy 0.906"),
        ({"note": "accuracy"}, ""),
        ({"mAP": 1}, "mAP 1"),
        (
            {"made_from": {"metrics": {"accuracy": 0.9}}, "agreement": {"accuracy_drop": 0.01}},
            "accuracy 0.9, drop 0.01",
        ),
    ],
)
def test_accuracy_is_the_first_figure_that_tells_it(metrics, text):
    assert accuracy_of(metrics) == text


def test_a_report_keeps_its_columns():
    machine = {"processor": "<cpu>", "cpus": 1, "cores": 2, "affinity": None, "load_at_start": 0.1}
    machine |= {"kernels": "avx2", "system": "Linux", "python": "3.11"}
    row = Row("esc10", "cpu", 1, "call", 1, 5.0, ((0.001, 0.002, 0.001),))
    model = {"name": "esc10", "file": "esc10.onnx", "model_sha256": None, "card_sha256": None, "window_s": 5.12}
    model |= {"hop_s": 5.12, "sample_rate": 44_100, "recording_rate": 44_100, "bytes": 1}
    report = Report("2026-01-01", {}, machine, {"numpy": "2"}, (model,), (row,))
    shown = report_html(report)
    assert shown.startswith("<pre")
    assert "&lt;cpu&gt;" in shown
    assert "call 5 s" in shown
