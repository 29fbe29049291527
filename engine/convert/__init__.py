"""Variants of a model, each a whole model with its own card."""

from __future__ import annotations
