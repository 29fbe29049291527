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


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked gpu where no CUDA device can run, and say why."""
    if item.get_closest_marker("gpu"):
        from engine.devices import cuda_obstacle

        if obstacle := cuda_obstacle(0):
            pytest.skip(obstacle)


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
