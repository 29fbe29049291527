"""The examples in the docstrings, run from the repository as a reader would."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import engine

ROOT = Path(__file__).resolve().parent.parent
NAMES = ["engine", *(module.name for module in pkgutil.walk_packages(engine.__path__, "engine."))]


def examples_of(name):
    module = importlib.import_module(name)
    return [test for test in doctest.DocTestFinder().find(module) if test.examples]


@pytest.mark.parametrize("name", NAMES)
def test_examples_are_true(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    for test in examples_of(name):
        assert doctest.DocTestRunner().run(test).failed == 0, test.name


def test_there_are_examples():
    assert {name for name in NAMES if examples_of(name)} >= {
        "engine",
        "engine.tagger",
        "engine.embedder",
        "engine.windows",
    }
