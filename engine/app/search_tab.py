"""The tab that finds sounds by example."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from engine.app.finding import BAD, GOOD, N_SHOWN, NONE, filters_of, found_text
from engine.app.notes import note, problem
from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from engine.app.finding import Asked, Library
    from engine.app.settings import AppSettings

SOUND = "/sound/hit"


def search_tab(library: Library | None, settings: AppSettings) -> None:
    """Add the tab to the page that is being made."""
    if library is None:
        gr.Markdown(
            "## Find sounds by example\nThere is nothing to search in: make an index with\n\n"
            "```sh\nengine index build recordings/ -o lib.index --tag-folders\nengine app --index lib.index\n```"
        )
        return
    sources: Any = ["upload", "microphone"] if settings.has_microphone else ["upload"]
    gr.Markdown(
        f"## Find sounds by example\nHum, imitate or drop an example. `{library.name}` holds {library.n_recordings} "
        f"recordings, compared by `{library.model}`.\n\n*Search by voice is experimental: the model has learnt from "
        "sounds, not from imitations of them.*"
    )
    example = gr.Audio(
        sources=sources, type="filepath", label="Example", editable=False, buttons=[], elem_id="search-audio"
    )
    with gr.Accordion("Filters", open=False, elem_id="search-filters"):
        tags = gr.Dropdown(library.tags, value=[], multiselect=True, label="Tags, any of them", elem_id="search-tags")
        path = gr.Textbox(
            "", label="Path", info="A part of it, or a pattern with * and ?", elem_id="search-path", max_length=300
        )
        with gr.Row():
            least_s = gr.Number(None, label="Shortest (s)", minimum=0, elem_id="search-least")
            most_s = gr.Number(None, label="Longest (s)", minimum=0, elem_id="search-most")
        one = gr.Checkbox(True, label="One hit per recording", elem_id="search-one")
        others = gr.Checkbox(True, label="Leave out the example's own recording", elem_id="search-others")
    with gr.Row():
        go = gr.Button("Search", variant="primary", elem_id="search-go")
        again = gr.Button("Search again with the marks", interactive=False, elem_id="search-again")
    message = gr.HTML(note("Nothing searched yet."), elem_id="search-message")
    rows = [_row(number) for number in range(1, N_SHOWN + 1)]
    with gr.Row():
        before = gr.Button("Hits before", interactive=False, elem_id="search-before")
        after = gr.Button("More hits", interactive=False, elem_id="search-after")
    asked, items, start = gr.State(None), gr.State([]), gr.State(0)
    controls = [tags, path, least_s, most_s, one, others]
    marks = [mark for _, _, mark, _ in rows]
    shown = [message, again, before, after, asked, items, start, *(part for row in rows for part in row[:3])]
    answers = _Answers(library, settings, len(shown), len(controls))
    quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "minimal", "show_progress_on": message}
    gr.on([go.click, example.upload, example.stop_recording], answers.to_example, [example, *controls], shown, **quiet)
    for button, step in ((again, None), (before, -N_SHOWN), (after, N_SHOWN)):
        button.click(answers.to_marks(step), [asked, items, start, *controls, *marks], shown, **quiet)
    for place, (_, _, _, like) in enumerate(rows):
        like.click(answers.to_hit(place), [items, *controls], shown, **quiet)


class _Answers:
    """What the page shows after each button: values for its ``n_shown`` parts."""

    def __init__(self, library: Library, settings: AppSettings, n_shown: int, n_controls: int) -> None:
        self._library = library
        self._max_s = settings.max_s
        self._n_shown = n_shown
        self._n_controls = n_controls

    def to_example(self, recording: str | None, *chosen: Any) -> list[Any]:
        """Answer to a recording of the visitor."""
        if recording is None:
            return self._only(problem("expected an example, got none; drop a file or record one"))
        try:
            query = self._library.ask(recording, self._max_s)
        except EngineError as error:
            return self._only(problem(error))
        return self._found(query, 0, chosen)

    def to_marks(self, step: int | None) -> Callable[..., list[Any]]:
        """Return what answers to a step through the hits, or for None to a new search with the marks."""

        def answer(query: Asked, shown: list[int], start: int, *values: Any) -> list[Any]:
            chosen, marks = values[: self._n_controls], values[self._n_controls :]
            return self._found(query.marked(shown, marks), 0 if step is None else max(0, start + step), chosen)

        return answer

    def to_hit(self, place: int) -> Callable[..., list[Any]]:
        """Return what answers to "more like this" at a place."""

        def answer(shown: list[int], *chosen: Any) -> list[Any]:
            if place >= len(shown):
                return self._only(problem("expected a hit to find more like it, got none; search first"))
            return self._found(self._library.more_like(shown[place]), 0, chosen)

        return answer

    def _only(self, message: str) -> list[Any]:
        return [message, *[gr.skip()] * (self._n_shown - 1)]

    def _found(self, query: Asked, start: int, chosen: Sequence[Any]) -> list[Any]:
        *limits, one_per_recording, others_only = chosen
        try:
            filters = filters_of(*limits, others_only=others_only)
            hits = self._library.search(query, N_SHOWN, start, filters, one_per_recording=one_per_recording)
        except EngineError as error:
            return self._only(problem(error))
        parts: list[Any] = []
        for hit in hits:
            facts = self._library.hit_html(hit, f"{SOUND}/{hit.item}.wav")
            parts += [gr.Group(visible=True), facts, query.marks.get(hit.item, NONE)]
        parts += [gr.Group(visible=False), "", NONE] * (N_SHOWN - len(hits))
        return [
            note(found_text(query, hits, start)),
            gr.Button(interactive=bool(hits)),
            gr.Button(interactive=start > 0),
            gr.Button(interactive=len(hits) == N_SHOWN),
            query,
            [hit.item for hit in hits],
            start,
            *parts,
        ]


def _row(number: int) -> tuple[Any, Any, Any, Any]:
    with gr.Group(visible=False, elem_id=f"hit-{number}") as group:
        facts = gr.HTML(elem_id=f"hit-{number}-facts")
        with gr.Row():
            mark = gr.Radio(
                [NONE, GOOD, BAD], value=NONE, label=f"Hit {number} is", elem_id=f"hit-{number}-mark", scale=2
            )
            like = gr.Button("More like this", size="sm", elem_id=f"hit-{number}-more", scale=1)
    return group, facts, mark, like
