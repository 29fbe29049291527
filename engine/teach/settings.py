"""What a user may choose when new classes are taught."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

from engine.card_fields import is_number
from engine.errors import ConfigError

HeadKind = Literal["linear", "mlp"]
Score = Literal["softmax", "sigmoid"]
Reduce = Literal["max", "mean"]


class TeachOptions(TypedDict, total=False):
    """The keywords of ``engine.teach``; see ``Settings``."""

    head: HeadKind
    score: Score | None
    reduce: Reduce | None
    precision: float
    recording: str | None
    seed: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How new classes are taught.

    Attributes
    ----------
    head : str
        "linear" (logistic regression) or "mlp" (one hidden layer of 64 units), both on the embedding of a window.
    score : str or None
        "softmax": labels exclude each other. "sigmoid": each is judged for itself, a clip may have several or none.
        None takes softmax where every clip has exactly one label, else sigmoid.
    reduce : str or None
        How the windows' scores become the clip's, "mean" or "max"; None takes the mean for softmax, whose scores are
        shares of one whole, and the maximum for sigmoid, since a sound heard in one window is heard in the clip.
    precision : float
        The share of right ones among the clips that reach a label's threshold; thresholds are chosen for it.
    recording : str or None
        A regular expression with one group, searched for in the name of a file: what the group finds is the recording
        that the clip was cut from. Tables with a column ``recording`` or ``source`` come before it.
    seed : int
        Decides on which side of each fold a recording is, and from where a hidden layer starts.
    """

    head: HeadKind = "linear"
    score: Score | None = None
    reduce: Reduce | None = None
    precision: float = 0.9
    recording: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that are out of range."""
        for name, choices in (("head", HeadKind), ("score", Score), ("reduce", Reduce)):
            value, allowed = getattr(self, name), get_args(choices)
            if value not in allowed and not (value is None and name != "head"):
                raise ConfigError(f"expected {name} to be one of {', '.join(allowed)}, got {value!r}; choose one")
        if not is_number(self.precision) or not 0 < self.precision <= 1:
            raise ConfigError(
                f"expected precision above 0 and at most 1, got {self.precision!r}; choose 0.9 for instance"
            )
        if type(self.seed) is not int or self.seed < 0:
            raise ConfigError(f"expected seed to be a whole number from 0, got {self.seed!r}; correct it")
        if self.recording is not None:
            _check_pattern(self.recording)


def _check_pattern(pattern: str) -> None:
    try:
        groups = re.compile(pattern).groups
    except (re.error, TypeError) as error:
        raise ConfigError(
            f"expected a regular expression for the recording, got {pattern!r}: {error}; correct it"
        ) from error
    if groups != 1:
        raise ConfigError(
            f"expected one group in the pattern of the recording, got {groups} in {pattern!r}; put parentheses around "
            "the part of a name that says the recording"
        )
