"""The state of every random generator of a run, so that an interrupted run goes on bit for bit.

A recipe either seeds each epoch anew from (seed, epoch), and saves nothing, or keeps its generators in its checkpoint
by these two functions.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import torch

from engine.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np


def capture(generators: Mapping[str, torch.Generator | np.random.Generator]) -> dict[str, Any]:
    """Return the state of ``generators`` and of the global ones of torch, CUDA included, and Python.

    Returns
    -------
    dict
        Tensors, numbers and strings, as ``Run.save`` takes them.
    """
    _, words, gauss = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": {"words": list(words), "gauss": gauss},
        "own": {name: _state(generator) for name, generator in generators.items()},
    }


def restore(state: Mapping[str, Any], generators: Mapping[str, torch.Generator | np.random.Generator]) -> None:
    """Put ``generators`` and the global ones back to where ``capture`` found them.

    Raises
    ------
    ConfigError
        When the state is of generators of other names.
    """
    if state["own"].keys() != generators.keys():
        raise ConfigError(
            f"expected the state of {sorted(generators)}, got that of {sorted(state['own'])}; begin a new run"
        )
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    random.setstate((3, tuple(state["python"]["words"]), state["python"]["gauss"]))
    for name, generator in generators.items():
        if isinstance(generator, torch.Generator):
            generator.set_state(state["own"][name])
        else:
            generator.bit_generator.state = state["own"][name]


def _state(generator: torch.Generator | np.random.Generator) -> Any:
    return generator.get_state() if isinstance(generator, torch.Generator) else generator.bit_generator.state
