"""Models of the user's own: put into the user's folder once they proved usable, and taken out again."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from engine.card_fields import NAME_PATTERN, is_matching
from engine.errors import EngineError, ModelError
from engine.fetch import check_url, fetch_file, file_sha256, parse_sha256, shown_url
from engine.probe import verify_apart
from engine.registry import ModelFile, installed_models, user_models_folder

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from engine.fetch import Progress


def add_model(
    file: str | os.PathLike[str], name: str | None = None, sha256: str | None = None, overwrite: bool = False
) -> ModelFile:
    """Copy a model into the user's folder, where it is found by name.

    The copy is opened and its hashes and golden check (where it has one) are computed, in a process of its own, before
    it appears under its name: a stranger's model cannot harm the process that adds it.

    Parameters
    ----------
    file : path
    name : str or None
        Letters, digits, '.', '_' and '-'; None is the name in its card.
    sha256 : str or None
        What the file's SHA-256 must be, 64 hexadecimal digits.
    overwrite : bool
        Replace the user's model of that name, or stand in front of a shipped one.

    Raises
    ------
    ModelError
        The file is not usable as a model, or has another checksum; the name is taken or is none; or the user's folder
        cannot be written.
    """
    _check_name(name)
    wanted = None if sha256 is None else parse_sha256(sha256)
    source = Path(file)
    if not source.is_file():
        raise ModelError(f"expected an .onnx file to add, found none at {source}; check the path")
    folder = user_models_folder()
    with _writing(folder), tempfile.TemporaryDirectory(prefix=".adding-", dir=folder) as room:
        part = Path(room, "model.part")
        shutil.copyfile(source, part)
        if wanted is not None and (got := file_sha256(part)) != wanted:
            raise ModelError(f"expected {source} to have the SHA-256 {wanted}, got {got}; get the file again")
        return _place(part, _verified_name(part, str(source), name), folder, overwrite)


def fetch_model(
    url: str, sha256: str, name: str | None = None, overwrite: bool = False, progress: Progress | None = None
) -> ModelFile:
    """Download a model into the user's folder; an interrupted download goes on where it stopped.

    Parameters
    ----------
    url : str
        https, http or file.
    sha256 : str
        Of the file, 64 hexadecimal digits, from somebody you trust.
    name, overwrite
        As for ``add_model``.
    progress : callable or None
        Called with the bytes that are there and the size of the whole, None where the server does not say.

    Raises
    ------
    ModelError
        As for ``add_model`` and ``engine.fetch.fetch_file``.
    """
    _check_name(name)
    check_url(url)
    if name is not None:
        _check_free(name, overwrite)
    folder = user_models_folder()
    part = folder / f".{parse_sha256(sha256)}.part"
    with _writing(folder):
        fetch_file(url, sha256, part, progress)
        try:
            name = _verified_name(part, shown_url(url), name)
        except ModelError:
            part.unlink()
            raise
        return _place(part, name, folder, overwrite)


def remove_model(name: str) -> Path:
    """Delete a model from the user's folder, and return where it was.

    Raises
    ------
    ModelError
        The user's folder has no such model, or it cannot be deleted.
    """
    path = user_models_folder() / f"{name}.onnx"
    own = [model for model in installed_models() if model.origin == "user"]
    if path not in [model.path for model in own]:
        known = ", ".join(model.name for model in own) or "none"
        raise ModelError(
            f"expected the name of a model in {path.parent} ({known}), got {name!r}; models elsewhere are not removed"
        )
    with _writing(path.parent):
        path.unlink()
    return path


def _check_name(name: str | None) -> None:
    if name is not None and not is_matching(name, NAME_PATTERN):
        raise ModelError(
            f"expected a short name of letters, digits, '.', '_' and '-', got {name!r}; choose another one"
        )


def _check_free(name: str, overwrite: bool) -> None:
    taken = next((model for model in installed_models() if model.name == name), None)
    if taken is not None and not overwrite:
        raise ModelError(
            f"expected a new name, got {name!r}, which means {taken.path}; give another name, or allow to overwrite"
        )


def _verified_name(part: Path, label: str, name: str | None) -> str:
    """Return the name to install a model under, having made sure that it is one."""
    try:
        found = verify_apart(part)
    except EngineError as error:
        raise ModelError(str(error).replace(str(part), label)) from error
    return found if name is None else name


def _place(part: Path, name: str, folder: Path, overwrite: bool) -> ModelFile:
    _check_free(name, overwrite)
    path = part.replace(folder / f"{name}.onnx")
    return next(model for model in installed_models() if model.path == path)


@contextlib.contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Make ``folder`` where it is not there, and turn what its disc refuses into a ModelError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise ModelError(
            f"expected to change the models in {folder}, got {error}; check disc and permissions"
        ) from error
