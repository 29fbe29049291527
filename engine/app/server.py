"""The page behind its guard, served until it is stopped."""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.app.comparing import candidates
from engine.app.detections import Recordings
from engine.app.finding import Library
from engine.app.guard import Guard
from engine.app.settings import check_settings, listening
from engine.bench.report import read_report
from engine.errors import ConfigError
from engine.registry import find_model
from engine.tagger import Tagger

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator

    from engine.app.settings import AppSettings

INSTALL = "pip install 'sound-engine[app]'"
_ENVIRONMENT = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_MCP_SERVER": "False",
    "GRADIO_SSR_MODE": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
# A visitor's page keeps a connection open; it is not waited for.
_GOODBYE_S = 1


def require_gradio() -> None:
    """Raise a ConfigError with what to install where gradio is missing."""
    if find_spec("gradio") is None:
        raise ConfigError(f"expected gradio, which makes the page, found none; install it with {INSTALL}")


def serve(settings: AppSettings, announce: Callable[[str], object]) -> None:
    """Serve the page until the process gets SIGINT or SIGTERM, which is its regular end.

    Gradio reads its settings from the environment; they are set for as long as this runs.

    Parameters
    ----------
    settings : AppSettings
    announce : callable
        Called with the address, token included, when the page can be opened.

    Raises
    ------
    ConfigError
        gradio is missing, the settings cannot be served, or the port is taken.
    ModelError, DeviceError
        As for ``Tagger``.
    ArchiveError
        An index or an archive is damaged.
    """
    require_gradio()
    check_settings(settings)
    with ExitStack() as held:
        opened = held.enter_context(listening(settings))
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="engine-app-", ignore_cleanup_errors=True)))
        held.enter_context(_environment(_ENVIRONMENT | {"GRADIO_TEMP_DIR": str(folder)}))
        tagger = held.enter_context(Tagger(settings.model, settings.device, settings.threads))
        library = None if settings.index is None else held.enter_context(_library(settings, settings.index))
        archives = [Recordings(each, shares_recordings=settings.shares_recordings) for each in settings.archives]
        reports = {each.name: read_report(each) for each in settings.reports}
        found = candidates(find_model(settings.model))
        token = settings.needed_token()
        application = _application(settings, (tagger, library, archives, found, reports), folder, token)
        _run(settings, opened, application, _told(announce, settings, opened, token))


def _library(settings: AppSettings, index: Path) -> Library:
    return Library(index, shares_recordings=settings.shares_recordings)


def _application(settings: AppSettings, shown: tuple[Any, ...], folder: Path, token: str | None) -> tuple[Any, Any]:
    """Return the guarded application, and Gradio's blocks inside it."""
    import gradio
    from fastapi import FastAPI

    from engine.app.page import CSS, Shown, page, theme
    from engine.app.sounds import add_sounds

    made = folder / "made"
    made.mkdir()
    blocks = page(Shown(*shown), settings, made)
    application = FastAPI(openapi_url=None)
    add_sounds(application, shown[1])
    gradio.mount_gradio_app(
        application,
        blocks,
        path="/",
        footer_links=[],
        run_history=False,
        show_error=False,
        ssr_mode=False,
        enable_monitoring=False,
        mcp_server=False,
        pwa=False,
        max_file_size=settings.max_bytes,
        allowed_paths=[],
        theme=theme(),
        css=CSS,
    )
    # Only launch() sets this, and Gradio checks no path that a visitor names before.
    blocks.has_launched = True
    hosts = frozenset({"127.0.0.1", "localhost", "::1", settings.host}) if settings.is_local else None
    guard = Guard(
        application,
        folder,
        max_bytes=settings.max_bytes,
        token=token,
        hosts=hosts,
        secure=settings.certfile is not None,
    )
    return guard, blocks


def _run(settings: AppSettings, opened: socket.socket, applications: tuple[Any, Any], told: Callable[[], None]) -> None:
    import uvicorn

    application, blocks = applications
    log = logging.getLogger("uvicorn.error")

    class Server(uvicorn.Server):  # type: ignore[misc]  # mypy does not look into it
        """Says when it listens, and ends the endless answers of open pages before it waits for them."""

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                told()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            blocks.is_running = False
            # Answers that are cut short are no news then.
            log.disabled = True
            await super().shutdown(sockets)

    config = uvicorn.Config(
        application,
        log_level="warning",
        access_log=False,
        server_header=False,
        ssl_certfile=settings.certfile,
        ssl_keyfile=settings.keyfile,
        timeout_graceful_shutdown=_GOODBYE_S,
    )
    try:
        # uvicorn passes the signal on that it has ended for.
        with suppress(KeyboardInterrupt):
            Server(config).run(sockets=[opened])
    finally:
        log.disabled = False


def _told(
    announce: Callable[[str], object], settings: AppSettings, opened: socket.socket, token: str | None
) -> Callable[[], None]:
    host = settings.host if ":" not in settings.host else f"[{settings.host}]"
    query = "" if token is None else f"?token={token}"
    return lambda: (announce(f"{settings.scheme}://{host}:{opened.getsockname()[1]}/{query}"), None)[1]


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
