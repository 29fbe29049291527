"""The tab that says what is heard in a recording, or at the microphone."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from engine.app.live import HOP_S, LiveTags
from engine.app.notes import note, problem
from engine.app.pictures import recording_picture
from engine.app.tagging import (
    ALL,
    HEADINGS,
    Heard,
    hear,
    rows_above,
    shown_threshold,
    summary_text,
    table_of,
    thresholds_text,
    with_threshold,
    write_tables,
)
from engine.errors import EngineError

if TYPE_CHECKING:
    from engine.app.settings import AppSettings
    from engine.tagger import Tagger

_DOWNLOADS = {"csv": "CSV", "raven": "Raven selection table", "audacity": "Audacity labels"}


def tag_tab(tagger: Tagger, settings: AppSettings, made: Path) -> None:
    """Add the tab to the page that is being made; downloads are written below the folder ``made``."""
    card = tagger.card
    sources: Any = ["upload", "microphone"] if settings.has_microphone else ["upload"]
    gr.Markdown(
        f"## What is heard in a recording\nDrop a file or record one: at most {settings.max_minutes:g} minutes and "
        f"{settings.max_mb:g} MB. `{card.name}` knows {len(card.labels)} labels."
    )
    recording = gr.Audio(
        sources=sources, type="filepath", label="Recording", editable=False, buttons=[], elem_id="tag-audio"
    )
    message = gr.HTML(note("Nothing tagged yet."), elem_id="tag-message")
    picture = gr.HTML(elem_id="tag-picture")
    with gr.Row():
        label = gr.Dropdown([ALL, *card.labels], value=ALL, label="Threshold for", elem_id="tag-label")
        threshold = gr.Slider(
            0, 1, shown_threshold(card, {}, ALL), step=0.01, label="Threshold", elem_id="tag-threshold"
        )
    state_of_thresholds = gr.HTML(note(thresholds_text(card, {})), elem_id="tag-thresholds")
    back = gr.Button("Back to the model's thresholds", size="sm", elem_id="tag-back")
    table = gr.Dataframe(
        headers=list(HEADINGS),
        datatype=["number", "number", "str", "number"],
        interactive=False,
        label="Windows and the labels that passed",
        max_height=400,
        elem_id="tag-table",
    )
    with gr.Row():
        downloads = [
            gr.DownloadButton(f"Download {name}", interactive=False, elem_id=f"tag-{kind}")
            for kind, name in _DOWNLOADS.items()
        ]
    heard = gr.State(None)
    chosen = gr.State({})
    folder = gr.State(None, time_to_live=3600, delete_callback=_forget)
    shown = [message, picture, state_of_thresholds, table, *downloads, folder]

    def show(found: Heard | None, thresholds: dict[str, float], before: str | None) -> list[Any]:
        _forget(before)
        if found is None:
            nothing = gr.DownloadButton(interactive=False, value=None)
            return [note("Nothing tagged yet."), "", note(thresholds_text(card, thresholds)), [], *[nothing] * 3, None]
        now = tempfile.mkdtemp(dir=made)
        paths = write_tables(found, thresholds, Path(now))
        said = summary_text(found, thresholds)
        events = found.clip.events(thresholds)
        return [
            note(f"{found.name}: {said}"),
            recording_picture(found.clip.duration_s, found.drawn, events, f"Waveform, spectrogram and events. {said}"),
            note(thresholds_text(card, thresholds)),
            table_of(rows_above(found.clip, thresholds)),
            *(gr.DownloadButton(interactive=True, value=paths[kind]) for kind in _DOWNLOADS),
            now,
        ]

    def tag(path: str | None, thresholds: dict[str, float], before: str | None) -> list[Any]:
        if path is None:
            return [None, *show(None, thresholds, before)]
        try:
            found = hear(tagger, path, settings.max_s)
        except EngineError as error:
            return [None, problem(error), *show(None, thresholds, before)[1:]]
        return [found, *show(found, thresholds, before)]

    def move(
        value: float, name: str, found: Heard | None, thresholds: dict[str, float], before: str | None
    ) -> list[Any]:
        moved = with_threshold(card, thresholds, name, value)
        return [moved, *show(found, moved, before)]

    def reset(name: str, found: Heard | None, before: str | None) -> list[Any]:
        return [{}, shown_threshold(card, {}, name), *show(found, {}, before)]

    gr.on(
        [recording.upload, recording.stop_recording, recording.clear],
        tag,
        [recording, chosen, folder],
        [heard, *shown],
        api_visibility="private",
    )
    # Every move counts, those of the keyboard too; what waits while a picture is drawn becomes one.
    threshold.input(
        move,
        [threshold, label, heard, chosen, folder],
        [chosen, *shown],
        trigger_mode="always_last",
        show_progress="hidden",
        api_visibility="private",
    )
    label.input(
        lambda name, thresholds: shown_threshold(card, thresholds, name),
        [label, chosen],
        threshold,
        api_visibility="private",
        show_progress="hidden",
    )
    back.click(reset, [label, heard, folder], [chosen, threshold, *shown], api_visibility="private")
    gr.Markdown("## Live: what the microphone hears now")
    if settings.has_microphone:
        _live(tagger)
    else:
        gr.Markdown(microphone_needs())


def microphone_needs() -> str:
    """Return why the page cannot record, and what helps."""
    return (
        "Browsers give the microphone to pages over HTTPS only: start `engine app` with `--certfile` and `--keyfile`, "
        "or open the page on the machine that it runs on."
    )


def _live(tagger: Tagger) -> None:
    gr.Markdown(f"Each window is tagged as soon as it is full, a new one every {HOP_S:g} s.")
    microphone = gr.Audio(
        sources=["microphone"], streaming=True, type="numpy", label="Microphone", buttons=[], elem_id="live-audio"
    )
    status = gr.HTML(note("Not listening."), elem_id="live-status")
    table = gr.Dataframe(
        headers=list(HEADINGS),
        datatype=["number", "number", "str", "number"],
        interactive=False,
        label="Labels that passed the model's thresholds, the latest first",
        max_height=300,
        elem_id="live-table",
    )
    live = gr.State(None)

    def push(block: tuple[int, Any] | None, listening: LiveTags | None) -> list[Any]:
        if block is None:
            return [listening, gr.skip(), gr.skip()]
        listening = listening or LiveTags(tagger)
        try:
            listening.push(*block)
        except EngineError as error:
            return [None, problem(error), gr.skip()]
        return [listening, note(listening.text()), listening.rows]

    microphone.stream(
        push,
        [microphone, live],
        [live, status, table],
        stream_every=HOP_S,
        show_progress="hidden",
        api_visibility="private",
        concurrency_limit=None,
    )


def _forget(folder: str | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
