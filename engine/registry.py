"""The models that come with the engine, by name."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

from engine.errors import ModelError

DEFAULT_MODEL = "esc10"


def models_folder() -> Path:
    """Return the folder of the shipped models: inside an installed package, else the repository's."""
    package = Path(__file__).resolve().parent
    installed = package / "models"
    return installed if installed.is_dir() else package.parent / "models"


def model_names() -> tuple[str, ...]:
    """Return the names of the shipped models, sorted."""
    return tuple(sorted(path.stem for path in models_folder().glob("*.onnx")))


def find_model(model: str | os.PathLike[str] | None = None) -> Path:
    """Return the file of a model.

    Parameters
    ----------
    model : str, path or None
        The name of a shipped model, or the path of an .onnx file; None is the default model. A name wins over a file
        of the same name in the working directory; ``./name`` or a Path names the file.

    Raises
    ------
    ModelError
        Neither a shipped model nor a file.
    """
    if model is None:
        model = DEFAULT_MODEL
    if not isinstance(cast("object", model), str | os.PathLike) or not os.fspath(model):
        raise ModelError(f"expected the name of a model or the path of an .onnx file, got {model!r}; pass one of them")
    if isinstance(model, str) and model in model_names():
        return models_folder() / f"{model}.onnx"
    path = Path(model)
    if not path.exists():
        raise ModelError(
            f"expected the name of a shipped model ({', '.join(model_names()) or 'there is none'}) or the path of an "
            f".onnx file, got {str(model)!r}, which is neither; check the spelling"
        )
    return path
