"""Sentences on the page: what happened, and what went wrong. Screen readers say them when they change."""

from __future__ import annotations

import html


def note(sentence: str) -> str:
    """Return HTML of a sentence."""
    return f'<p class="note" role="status">{html.escape(sentence)}</p>'


def problem(error: object) -> str:
    """Return HTML of what went wrong."""
    return f'<p class="problem" role="alert">{html.escape(str(error))}</p>'
