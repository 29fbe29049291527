"""The day of field recordings in docs/archives.md: its commands print what the page shows."""

from __future__ import annotations

import re

from tests.test_pages import ROOT, assert_same_but_for_last_digits


def test_the_walk_through_a_day(engine, shared_data, tmp_path):
    page = (ROOT / "docs" / "archives.md").read_text().partition("## A day in the field")[2]
    (shown,) = re.findall(r"^```text\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    day = tmp_path / "day"
    assert engine("archive", "run", shared_data / "longform_dev" / "maad_day", "-o", day)[0] == 0
    labels = re.findall(r"--label ('[^']+'|\w+)", page.partition("```text")[0])
    chosen = [word for label in labels for word in ("--label", label.strip("'"))]
    code, printed, _ = engine("archive", "summary", day, *chosen, "--plot", tmp_path / "day.png")
    assert code == 0
    # How fast it was is another matter each time, and the bars of a histogram may differ by a window.
    fixed = [
        [line for line in re.sub(r"[▁-█].*", "", text).splitlines() if not line.startswith("sound")]
        for text in (printed.decode(), shown)
    ]
    assert_same_but_for_last_digits(*("\n".join(line.rstrip() for line in lines) for lines in fixed))
    assert "0.27 h in 192 windows" in printed.decode()
    assert (tmp_path / "day.png").read_bytes().startswith(b"\x89PNG")
    code, printed, _ = engine("archive", "results", day, "--label", "crackling fire", "--min-score", "0.9")
    times = re.findall(r",2019-05-22T(\d\d:\d\d)", printed.decode())
    assert len(times) == 18
    assert sum("06:45" <= time <= "09:15" or "19:00" <= time <= "23:15" for time in times) == 15
