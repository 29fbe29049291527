"""Where models lie, and which file a name means.

Three places are searched in this order, the more deliberate before the more general, as programs are on PATH:

1. the folders named in the environment variable ENGINE_MODELS, separated as in PATH,
2. the user's own folder, which ``engine models add`` and ``engine models fetch`` fill,
3. the models that came with the package.

So a model of one's own can stand in front of a shipped one; ``engine models list`` shows it where it does.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from engine.errors import ModelError

DEFAULT_MODEL = "esc10"
SEARCH_PATH = "ENGINE_MODELS"

Origin = Literal["ENGINE_MODELS", "user", "package"]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A model that lies in one of the places that are searched.

    Attributes
    ----------
    name : str
    path : Path
    origin : str
        "ENGINE_MODELS", "user" or "package".
    hidden : bool
        Whether a place before this one has a model of the same name, so that only the path means this one.
    """

    name: str
    path: Path
    origin: Origin
    hidden: bool


def models_folder() -> Path:
    """Return the folder of the shipped models: inside an installed package, else the repository's."""
    package = Path(__file__).resolve().parent
    installed = package / "models"
    return installed if installed.is_dir() else package.parent / "models"


def user_models_folder() -> Path:
    r"""Return the user's folder of models, which need not exist, where the platform keeps an application's data.

    It is ``$XDG_DATA_HOME/sound-engine/models`` (``~/.local/share`` where that is not set), on macOS
    ``~/Library/Application Support/sound-engine/models``, on Windows ``%LOCALAPPDATA%\sound-engine\models``.

    Raises
    ------
    ModelError
        The system does not say where this user's home is.
    """
    try:
        return _data_home() / "sound-engine" / "models"
    except RuntimeError as error:
        raise ModelError(
            "expected to find the user's home folder for the user's models, the system names none; set HOME, or name "
            f"folders of models in {SEARCH_PATH}"
        ) from error


def listed_folders() -> tuple[Path, ...]:
    """Return the folders that ENGINE_MODELS names, in order, whether they exist or not."""
    return tuple(Path(entry) for entry in os.environ.get(SEARCH_PATH, "").split(os.pathsep) if entry)


def installed_models() -> tuple[ModelFile, ...]:
    """Return every model in the places that are searched: in the order of the search, and by name in each place."""
    places: list[tuple[Origin, Path]] = [("ENGINE_MODELS", folder) for folder in listed_folders()]
    # Nobody has models of their own where nobody has a home.
    with contextlib.suppress(ModelError):
        places.append(("user", user_models_folder()))
    places.append(("package", models_folder()))
    models: list[ModelFile] = []
    seen: set[str] = set()
    for origin, folder in places:
        found = sorted(path for path in folder.glob("*.onnx") if not path.name.startswith("."))
        models += [ModelFile(path.stem, path, origin, path.stem in seen) for path in found]
        seen.update(path.stem for path in found)
    return tuple(models)


def model_names() -> tuple[str, ...]:
    """Return the names by which models are found, sorted."""
    return tuple(sorted({model.name for model in installed_models()}))


def find_model(model: str | os.PathLike[str] | None = None) -> Path:
    """Return the file of a model.

    Parameters
    ----------
    model : str, path or None
        The name of a model in one of the places that are searched (see ``installed_models``), or the path of an .onnx
        file; None is the default model's name. A name wins over a file of the same name in the working directory;
        ``./name`` or a Path names the file.

    Raises
    ------
    ModelError
        Neither a known name nor a file.
    """
    if model is None:
        model = DEFAULT_MODEL
    if not isinstance(cast("object", model), str | os.PathLike) or not os.fspath(model):
        raise ModelError(f"expected the name of a model or the path of an .onnx file, got {model!r}; pass one of them")
    models = installed_models()
    if isinstance(model, str) and (named := next((each for each in models if each.name == model), None)):
        return named.path
    path = Path(model)
    if not _exists(path):
        known = ", ".join(sorted({each.name for each in models})) or "there is none"
        absent = [str(folder) for folder in listed_folders() if not folder.is_dir()]
        hint = f"; {SEARCH_PATH} names {', '.join(absent)}, which is no folder" if absent else ""
        raise ModelError(
            f"expected the name of a model ({known}) or the path of an .onnx file, got {str(model)!r}, which is "
            f"neither; check the spelling{hint}"
        )
    return path


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long to be one, a folder that may not be entered
        return False


def _data_home() -> Path:
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    if sys.platform == "win32":
        named = os.environ.get("LOCALAPPDATA", "")
        return Path(named) if named else Path.home() / "AppData" / "Local"
    named = os.environ.get("XDG_DATA_HOME", "")
    # The XDG base directory specification: a relative path is invalid and to be ignored.
    return Path(named) if Path(named).is_absolute() else Path.home() / ".local" / "share"
