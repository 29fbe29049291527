"""Files, folders and patterns to the audio files they name."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import AudioError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# What counts as audio inside a folder, whether or not PyAV is installed: without it, each file that needs it says so.
# .mp4 and .webm are here because phones and browsers record into them; .mkv, .mov and .avi hold films.
AUDIO_SUFFIXES = (
    *(".wav", ".wave", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".mp2"),
    *(".aif", ".aiff", ".aifc", ".au", ".snd", ".caf"),
    *(".m4a", ".m4b", ".mp4", ".aac", ".webm", ".weba", ".mka", ".wma", ".3gp", ".amr", ".wv"),
)


def find_audio(inputs: Iterable[str | os.PathLike[str]]) -> Iterator[Path]:
    """Give the files that the inputs name, in the order of the inputs, sorted within each.

    Parameters
    ----------
    inputs : iterable of str or os.PathLike
        A file is taken whatever its name, also one that does not exist (opening it will say so). A folder gives the
        files with an audio suffix in it and below it, hidden files and folders and links to folders left out; films
        (.mkv, .mov, .avi) have none, name them to have them read. What does not exist and holds ``*``, ``?`` or ``[``
        is a pattern, ``**`` for any depth; it gives the files and the folders that match.

    Yields
    ------
    pathlib.Path

    Raises
    ------
    AudioError
        When a folder has no audio files or cannot be listed, or a pattern matches nothing.
    """
    for given in inputs:
        name = os.fspath(given)
        if Path(name).is_dir():
            yield from _in_folder(name)
        elif glob.has_magic(name) and not Path(name).exists():
            matches = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - Path.glob takes no absolute pattern
            if not matches:
                raise AudioError(f"expected files that match {name!r}, got none; check the pattern")
            yield from find_audio(matches)
        else:
            yield Path(name)


def _in_folder(folder: str) -> Iterator[Path]:
    found = []
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            os.path.join(parent, name)  # noqa: PTH118 - a Path for each would take longer than all the rest
            for name in files
            if not name.startswith(".") and name.lower().endswith(AUDIO_SUFFIXES)
        ]
    if not found:
        raise AudioError(f"expected audio files in the folder {folder!r}, got none; name another folder or the files")
    # As paths are sorted: folder by folder.
    yield from map(Path, sorted(found, key=lambda name: os.path.normcase(name).split(os.sep)))  # noqa: PTH206


def _refuse(error: OSError) -> None:
    raise AudioError(
        f"expected a folder that can be listed, got {error.filename!r}: {error.strerror}; change its permissions"
    )
