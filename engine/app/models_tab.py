"""The tab that shows models: cards, variants side by side, reports of benchmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr

from engine.app.comparing import HEADINGS, N_REPEATS, card_html, compared, report_html
from engine.app.notes import note, problem
from engine.errors import EngineError

if TYPE_CHECKING:
    from engine.app.comparing import Candidate
    from engine.app.settings import AppSettings
    from engine.bench.report import Report


def models_tab(candidates: dict[str, Candidate], reports: dict[str, Report], settings: AppSettings) -> None:
    """Add the tab to the page that is being made."""
    names = list(candidates)
    gr.Markdown(
        "## Models side by side\nAccuracy is what each card says of its own test. Times are measured here, on the CPU, "
        f"as the median of {N_REPEATS} windows; `engine bench` measures more carefully."
    )
    chosen = gr.CheckboxGroup(names, value=names, label="Models", elem_id="models-chosen")
    measure = gr.Button("Measure on this machine", variant="primary", elem_id="models-measure")
    message = gr.HTML(elem_id="models-message")
    table = gr.Dataframe(
        [[*row] for row in compared(candidates, settings.threads, measure=False)],
        headers=list(HEADINGS),
        interactive=False,
        label="Variants: accuracy and latency",
        elem_id="models-table",
    )

    def show(picked: list[str]) -> list[Any]:
        some = {name: candidates[name] for name in names if name in picked}
        if not some:
            return [problem("expected a model to measure, got none; choose one"), gr.skip()]
        try:
            rows = compared(some, settings.threads, measure=True)
        except EngineError as error:
            return [problem(error), gr.skip()]
        return [note(f"Measured {len(rows)} models, turn by turn."), rows]

    # One at a time: two measurements at once would disturb each other.
    measure.click(show, chosen, [message, table], concurrency_limit=1, api_visibility="private")
    gr.Markdown("## Model card")
    which = gr.Dropdown(names, value=names[0], label="Card of", elem_id="models-which")
    card = gr.HTML(card_html(candidates[names[0]]), elem_id="models-card")
    which.change(lambda name: card_html(candidates[name]), which, card, api_visibility="private")
    gr.Markdown("## Report of engine bench")
    if not reports:
        gr.Markdown("```sh\nengine bench esc10 -o bench.json\nengine app --report bench.json\n```")
        return
    titles = list(reports)
    report = gr.Dropdown(titles, value=titles[0], label="Report", elem_id="models-report-which")
    shown = gr.HTML(report_html(reports[titles[0]]), elem_id="models-report")
    report.change(lambda name: report_html(reports[name]), report, shown, api_visibility="private")
