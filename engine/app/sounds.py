"""Sounds that the page's players ask for: by number, never by path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Response

from engine.app.search_tab import SOUND
from engine.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.app.finding import Library


def add_sounds(application: FastAPI, library: Library | None) -> None:
    """Add the addresses of the sounds to an application."""
    if library is not None:

        def hit(item: int) -> Response:
            return _sound(lambda: library.wav(item))

        _add(application, f"{SOUND}/{{item}}.wav", hit)


def _add(application: FastAPI, address: str, answer: Callable[..., Response]) -> None:
    # FastAPI reads the types of the arguments, and they are text here.
    answer.__annotations__ = {name: int for name in answer.__annotations__ if name != "return"}
    application.add_api_route(address, answer, methods=["GET"])


def _sound(wav: Callable[[], bytes]) -> Any:
    try:
        return Response(wav(), media_type="audio/wav", headers={"cache-control": "private, max-age=600"})
    except EngineError as error:
        return Response(str(error), 404, media_type="text/plain")
