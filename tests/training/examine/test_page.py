"""Tables of a page: what they show, and that only they change."""

from __future__ import annotations

import pytest

from engine.errors import ConfigError
from training.examine import page

PAGE = """# Model

Written by hand.

<!-- table speed -->
anything
| old |
<!-- end of speed -->

More.

<!-- table errors -->
<!-- end of errors -->
"""


def test_only_the_tables_change_and_writing_twice_is_writing_once() -> None:
    tables = {"speed": r"| a \1 |", "errors": "| b |"}
    once = page.with_tables(PAGE, tables)
    assert (
        "<!-- table speed -->\n\n| a \\1 |\n\n<!-- end of speed -->\n\nMore.\n\n<!-- table errors -->\n\n| b |" in once
    )
    assert once.startswith("# Model\n\nWritten by hand.\n")
    assert "old" not in once
    assert page.with_tables(once, tables) == once


@pytest.mark.parametrize(
    ("text", "tables", "message"),
    [
        (PAGE, {"speed": ""}, "a place on the page"),
        (PAGE, {"speed": "", "errors": "", "more": ""}, "more"),
        (PAGE.replace("<!-- end of speed -->", ""), {"errors": ""}, "two comments"),
        (PAGE + PAGE, {"speed": "", "errors": ""}, "once"),
    ],
    ids=["without a table", "without a place", "half a pair", "twice"],
)
def test_pages_that_do_not_fit_are_refused(text: str, tables: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        page.with_tables(text, tables)


def test_tables_show_figures_and_what_is_missing() -> None:
    side = {"map": 0.91239, "p_at_1": None, "n_queries": 1, "n_left_out": 0}
    assert page.retrieval_table({"seed 0": {"unseen": side, "seen": side}}).splitlines() == [
        "|  | mAP, unseen clips | P@1, unseen clips | mAP, training clips | P@1, training clips |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| seed 0 | 0.912 | - | 0.912 | - |",
    ]
    row = {"accuracy": 0.9, "cosine": 0.98, "worst_cosine": 0.5, "n_clips": 3}
    assert page.robustness_table({"none": row}).endswith("| none | 0.900 | 0.980 | 0.50 |")
    kinds = {"f1": 0.5, "macro_f1": 0.25, "by_label": {"rain": 0.5}}
    heard = dict.fromkeys(("onset", "onset_offset", "segment"), kinds)
    table = page.detection_table({"YAMNet": heard})
    assert table.endswith("| YAMNet | 0.500 | 0.250 | 0.500 | 0.250 | 0.500 | 0.250 |")
    other = {"onset": {"by_label": {"dog": None}}}
    assert page.labels_table({"A": heard, "B": other}).splitlines()[2:] == ["| dog | - | - |", "| rain | 0.500 | - |"]
    shares = {"speech": {"windows": 20, "above": 0.05}, "music": {"windows": 0, "above": float("nan")}}
    assert page.outside_table(shares).splitlines()[2:] == ["| speech | 20 | 5.0% |", "| music | 0 | - |"]
    assert page.threshold_table({"rain": 0.625}, {"rain": 0.9}, {"rain": None}).endswith("| rain | 0.62 | 0.90 | - |")


def test_variants_are_compared_over_clips_of_one_length() -> None:
    taken = {"min_ms": 1.0, "median_ms": 1.25, "median_ms_per_second": 0.25}
    fp32 = {"bytes": 1_300_000, "seconds": 5.0, "tagger": taken, "accuracy": 0.93}
    table = page.variants_table({"fp32": fp32, "int8": fp32 | {"accuracy": None, "bytes": 400_000}})
    assert "ms per 5 s, least" in table
    assert table.splitlines()[2:] == [
        "| fp32 | 1.30 | 0.930 | 1.00 | 1.25 | 0.250 |",
        "| int8 | 0.40 | - | 1.00 | 1.25 | 0.250 |",
    ]
    with pytest.raises(ConfigError, match="one length"):
        page.variants_table({"a": fp32, "b": fp32 | {"seconds": 1.0}})


def test_errors_are_listed_with_labels_as_text() -> None:
    found = {
        "confusions": [{"truth": "rain", "given": "fire", "n_errors": 3, "n_sources": 2}] * 3,
        "sources": [{"source": "7", "truth": "rain", "given": "fire", "n_errors": 3, "n_clips": 4}],
    }
    table = page.confusions_table(found, most=2).splitlines()
    assert table[1:] == ["| --- | --- | ---: | ---: |", *2 * ["| rain | fire | 3 | 2 |"]]
    assert page.sources_table(found).endswith("| 7 | rain | fire | 3 | 4 |")
