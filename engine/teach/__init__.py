"""New classes from a handful of labelled clips: a head on an embedder, measured, and written as one model.

The package is called as its function: ``engine.teach("clips", "mine.onnx")``.
"""

from __future__ import annotations

import sys
from types import ModuleType

from engine.teach.examples import Example, Failure, Lesson, read_examples
from engine.teach.head import Head
from engine.teach.measurement import LabelFigures, Measurement
from engine.teach.review import Proposal, Review, propose, write_proposals
from engine.teach.settings import Settings, TeachOptions
from engine.teach.teaching import Taught, teach

__all__ = [
    "Example",
    "Failure",
    "Head",
    "LabelFigures",
    "Lesson",
    "Measurement",
    "Proposal",
    "Review",
    "Settings",
    "Taught",
    "TeachOptions",
    "propose",
    "read_examples",
    "teach",
    "write_proposals",
]


class _CallablePackage(ModuleType):
    __call__ = staticmethod(teach)


sys.modules[__name__].__class__ = _CallablePackage
