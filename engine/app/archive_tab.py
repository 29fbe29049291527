"""The tab that looks through archives."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from engine.app.detections import NOTHING, activity, corrected, summary_text
from engine.app.notes import note, problem
from engine.app.pictures import hours_picture, recording_picture
from engine.audio import load
from engine.errors import EngineError
from engine.events import Event
from engine.frontend import LogMel
from engine.picture import sketch

if TYPE_CHECKING:
    from engine.app.detections import Correction, Detection, Recordings
    from engine.card import ModelCard

_START = 0.5


def archive_tab(archives: list[Recordings], card: ModelCard, made: Path) -> None:
    """Add the tab to the page that is being made; exports are written below the folder ``made``."""
    if not archives:
        gr.Markdown(
            "## What an archive holds\nNo archive was given: make one with\n\n"
            "```sh\nengine archive run recordings/ -o out\nengine app --archive out\n```"
        )
        return
    names = [str(each.folder) for each in archives]
    gr.Markdown("## What an archive holds")
    with gr.Row():
        which = gr.Dropdown(names, value=names[0], label="Archive", elem_id="archive-which")
        labels = list(archives[0].labels)
        label = gr.Dropdown(labels, value=next(iter(labels), None), label="Label", elem_id="archive-label")
        threshold = gr.Slider(0, 1, _START, step=0.01, label="Threshold", elem_id="archive-threshold")
    message = gr.HTML(elem_id="archive-message")
    gr.Markdown("### Share of windows with the label, by the hour\nGrey hours have no recordings.")
    plot = gr.HTML(elem_id="archive-activity")
    gr.Markdown("### Detections\nChoose a row to hear it with five seconds before and after it.")
    table = gr.Dataframe(
        headers=["time", "start (s)", "end (s)", "score", "recording"],
        datatype=["str", "number", "number", "number", "str"],
        interactive=False,
        label="The surest first",
        max_height=360,
        elem_id="archive-table",
    )
    number = gr.Number(1, label="Row", minimum=1, precision=0, elem_id="archive-row")
    listen = gr.Button("Listen", variant="primary", elem_id="archive-listen")
    said = gr.HTML(elem_id="archive-said")
    player = gr.Audio(label="In context", interactive=False, buttons=[], elem_id="archive-player")
    picture = gr.HTML(elem_id="archive-picture")
    gr.Markdown(
        f"### Correct it\nWhat is heard there? Several labels have `;` between them, `{NOTHING}` is none of the sounds."
    )
    with gr.Row():
        right = gr.Dropdown(
            [NOTHING, *labels], value=NOTHING, label="Right label", allow_custom_value=True, elem_id="archive-right"
        )
        keep = gr.Button("Keep the correction", elem_id="archive-keep")
    with gr.Row():
        export = gr.Button("Make the training table", elem_id="archive-export")
        download = gr.DownloadButton("Download for engine teach", interactive=False, elem_id="archive-download")
    gr.Markdown("### Recordings that failed")
    failures = gr.Dataframe(
        headers=["recording", "stage", "reason"],
        interactive=False,
        wrap=True,
        max_height=300,
        label="Failures and their reasons",
        elem_id="archive-failures",
    )
    found, chosen, corrections = gr.State([]), gr.State(None), gr.State([])
    answers = _Answers(archives, card, made)
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal"}
    which.change(answers.labels_of, which, [label, right, corrections, chosen], **quiet)
    # When the page opens, and when one of them changes.
    gr.on(
        None,
        answers.look,
        [which, label, threshold],
        [message, plot, table, failures, found],
        trigger_mode="always_last",
        **quiet,
    )
    heard = [said, player, picture, chosen]
    listen.click(answers.listen, [which, number, found], heard, **quiet)
    table.select(answers.row_of, None, number, **quiet).then(answers.listen, [which, number, found], heard, **quiet)
    keep.click(answers.keep, [chosen, right, corrections], [said, corrections], **quiet)
    export.click(answers.export, [which, corrections], [said, download], **quiet)


class _Answers:
    """What the page shows after each control."""

    def __init__(self, archives: list[Recordings], card: ModelCard, made: Path) -> None:
        self._archives = {str(each.folder): each for each in archives}
        self._front_end = None if card.frontend is None else LogMel(card.frontend, warn_empty=False)
        self._made = made

    def labels_of(self, which: str) -> list[Any]:
        """Return the controls for another archive; its corrections begin anew."""
        labels = list(self._archives[which].labels)
        return [
            gr.Dropdown(labels, value=next(iter(labels), None)),
            gr.Dropdown([NOTHING, *labels], value=NOTHING),
            [],
            None,
        ]

    def look(self, which: str, label: str | None, threshold: float) -> list[Any]:
        """Return summary, activity, detections and failures."""
        archive = self._archives[which]
        if not archive.labels:  # it was run for embeddings alone
            label = None
        elif label not in archive.labels:  # the archive has just been changed, its labels follow
            return [gr.skip()] * 5
        try:
            summary = archive.summary(label, threshold)
            found = [] if label is None else archive.detections(label, threshold)
            failures = archive.failures()
        except EngineError as error:
            return [problem(error), "", [], [], []]
        if label is None:
            said = f"{summary_text(summary)} It has no tags, so nothing is detected."
            return [note(said), "", [], failures, []]
        shares = activity(summary, label)
        said = ", ".join(f"{hour} h {share:.2f}" for hour, share in shares)
        alt = f"Share of windows with {label}: {said}"
        hours = hours_picture(shares, alt) if shares else note("No times are known.")
        return [note(summary_text(summary)), hours, archive.table(found), failures, found]

    def row_of(self, event: gr.SelectData) -> int:
        """Return the number of the row that was chosen."""
        return int(event.index[0]) + 1

    def listen(self, which: str, number: float | None, found: list[Detection]) -> list[Any]:
        """Return a detection as sound and picture."""
        if number is None or not 1 <= number <= len(found):
            sentence = f"expected a row from 1 to {len(found)}, got {number}; lower the threshold or choose another"
            return [problem(sentence), None, "", None]
        detection = found[int(number) - 1]
        try:
            samples, rate, start_s = self._archives[which].context(detection)
        except EngineError as error:
            return [problem(error), None, "", None]
        event = Event(detection.start_s - start_s, detection.end_s - start_s, detection.label, detection.score)
        log_mel = None
        if self._front_end is not None:
            log_mel = self._front_end(load((samples, rate), self._front_end.config.sample_rate)[0])
        drawn = sketch((samples, rate), log_mel)
        place = f"{detection.label} ({detection.score:.2f}) at {detection.start_s:.2f} s of {Path(detection.uri).name}"
        sound = np.round(32_767 * np.clip(samples, -1, 1)).astype(np.int16)
        picture = recording_picture(len(samples) / rate, drawn, [event], f"Waveform and spectrogram: {place}")
        return [note(f"{place}, heard from {start_s:.2f} s."), (rate, sound), picture, detection]

    def keep(self, chosen: Detection | None, label: str | None, before: list[Correction]) -> list[Any]:
        """Return the corrections with one more."""
        if chosen is None:
            return [problem("expected a detection to correct, got none; choose a row and listen first"), before]
        try:
            after = corrected(before, chosen, label or "")
        except EngineError as error:
            return [problem(error), before]
        return [note(f"{len(after)} corrected; the last is {after[-1].label} instead of {chosen.label}."), after]

    def export(self, which: str, corrections: list[Correction]) -> list[Any]:
        """Return a ZIP with the table and its clips."""
        path = Path(tempfile.mkdtemp(dir=self._made)) / "corrections.zip"
        try:
            self._archives[which].write_training(corrections, path)
        except EngineError as error:
            return [problem(error), gr.DownloadButton(interactive=False)]
        sentence = f"{len(corrections)} corrections: unpack the file and run engine teach corrections.csv -o mine.onnx."
        return [note(sentence), gr.DownloadButton(interactive=True, value=str(path))]
