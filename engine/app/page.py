"""The page: its tabs, its looks, and what it says at the top."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from engine.app.archive_tab import archive_tab
from engine.app.models_tab import models_tab
from engine.app.search_tab import search_tab
from engine.app.tag_tab import tag_tab

if TYPE_CHECKING:
    from pathlib import Path

    from engine.app.comparing import Candidate
    from engine.app.detections import Recordings
    from engine.app.finding import Library
    from engine.app.settings import AppSettings
    from engine.bench.report import Report
    from engine.tagger import Tagger

# Fonts of the visitor's own system: nothing is fetched.
THEME_FONTS = {
    "font": ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"],
    "font_mono": ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"],
}
CSS = """
.note { margin: 0.25rem 0; }
.problem { margin: 0.25rem 0; padding: 0.5rem 0.75rem; border-left: 4px solid #dc2626; font-weight: 600; }
img.drawn { width: 100%; height: auto; }
.hit { display: flex; flex-wrap: wrap; gap: 0.75rem 1rem; padding: 0.75rem; }
.hit > div { flex: 1 1 16rem; min-width: 0; }
.hit h3 { margin: 0; font-size: 1rem; overflow-wrap: anywhere; }
.hit p { margin: 0.25rem 0; }
.hit .path { font-size: 0.8rem; overflow-wrap: anywhere; opacity: 0.75; }
.hit audio { width: 100%; max-width: 24rem; }
.card section { margin: 0.5rem 0 1rem; }
.card dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: 0.15rem 1rem; margin: 0; }
.card dt { opacity: 0.75; overflow-wrap: anywhere; }
.card dd { margin: 0; overflow-wrap: anywhere; }
.card dd.whole { grid-column: 1 / -1; }
.report { overflow-x: auto; font-size: 0.8rem; }
img.thumbnail { width: 12rem; height: 6rem; object-fit: fill; border-radius: 4px; }
"""
# How long a visitor's files are kept at most, and how often they are looked through, in seconds.
_KEPT_S, _SWEPT_S = 3600, 600


@dataclass(frozen=True, slots=True)
class Shown:
    """What the page shows.

    Attributes
    ----------
    tagger : Tagger
    library : Library or None
        To search in.
    archives : list of Recordings
    candidates : dict of str to Candidate
        Models by name.
    reports : dict of str to Report
        By the names of their files.
    """

    tagger: Tagger
    library: Library | None
    archives: list[Recordings]
    candidates: dict[str, Candidate]
    reports: dict[str, Report]


def page(shown: Shown, settings: AppSettings, made: Path) -> Any:
    """Return the page as Gradio's Blocks; files that it makes for visitors lie below the folder ``made``."""
    with gr.Blocks(
        title="engine", analytics_enabled=False, delete_cache=(_SWEPT_S, _KEPT_S), fill_width=False
    ) as blocks:
        gr.Markdown("# engine: listen, look and search")
        with gr.Tabs():
            with gr.Tab("Tag", id="tag"):
                tag_tab(shown.tagger, settings, made)
            with gr.Tab("Search", id="search"):
                search_tab(shown.library, settings)
            with gr.Tab("Archive", id="archive"):
                archive_tab(shown.archives, shown.tagger.card, made)
            with gr.Tab("Models", id="models"):
                models_tab(shown.candidates, shown.reports, settings)
    return blocks


def theme() -> Any:
    """Return the looks of the page, in light and dark."""
    return gr.themes.Default(**THEME_FONTS)
