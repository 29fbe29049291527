"""Fixtures shared by the whole suite."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The same cases in every CI run: what it says of a change is about that change. New cases are found by everybody else.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI") == "true":
    settings.load_profile("ci")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def no_models_of_ones_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide the models of whoever runs the tests, from the subprocesses too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ENGINE_MODELS", raising=False)
        home = tmp_path_factory.mktemp("data")
        patch.setenv("XDG_DATA_HOME", str(home))
        patch.setenv("LOCALAPPDATA", str(home))
        yield


@pytest.fixture(scope="session")
def gpu() -> str:
    """Return the device for tests marked gpu: the one in ENGINE_TEST_DEVICE, else cuda:0, without which they skip."""
    named = os.environ.get("ENGINE_TEST_DEVICE")
    device = named or "cuda:0"
    if device != "cpu":
        from engine.devices import cuda_obstacle

        if obstacle := cuda_obstacle(int(device.removeprefix("cuda:"))):
            return pytest.fail(obstacle) if named else pytest.skip(obstacle)
    return device


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real recordings; skip in a clone without it, fail in CI."""
    named = os.environ.get("ENGINE_TEST_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if (folder / "README.md").is_file():
        return folder
    reason = f"no recordings at {folder}: set ENGINE_TEST_DATA to a folder with esc10_dev, hostile and the other sets"
    if os.environ.get("CI") == "true" or named:
        pytest.fail(reason)
    return pytest.skip(reason)


@pytest.fixture
def engine(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> Callable[..., tuple[int, bytes, str]]:
    """Run the command in this process; return exit code, stdout (bytes) and stderr (text)."""
    from engine.cli.main import main

    def run(*arguments: object) -> tuple[int, bytes, str]:
        monkeypatch.setattr(sys, "argv", ["engine", *map(str, arguments)])
        capfdbinary.readouterr()
        code = main()
        sys.stdout.flush()
        out, err = capfdbinary.readouterr()
        return code, out, err.decode()

    return run
