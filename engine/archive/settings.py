"""What determines the rows of an archive: two runs with the same settings over the same bytes give the same rows."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from engine.archive.recorded import name_expression
from engine.errors import ConfigError
from engine.fingerprint import canonical_json

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from engine.model import Model
    from engine.options import CallOptions

PRODUCTS = ("tags", "embeddings")
INDEX = "index"


@dataclass(frozen=True, kw_only=True)
class ArchiveSettings:
    """The model and how it is applied.

    Attributes
    ----------
    model : str
        The name in its card.
    model_sha256, card_sha256 : str
        From its card; the latter covers the front end, the labels and the windows.
    labels : tuple of str
        Of the scores; empty where tags are not a product.
    embedding_size : int or None
        None where embeddings are not a product.
    sample_rate : int
        The model's, in Hz.
    window, hop : int
        In samples.
    channel : int or None
        None averages all.
    time_pattern : str or None
        How names hold the time of a recording; see ``engine.archive.recorded``.
    batch_size : int or None
        Windows in one call of the network on a GPU; None is the engine's default. A CPU takes one whatever it is.
    """

    model: str
    model_sha256: str
    card_sha256: str
    labels: tuple[str, ...]
    embedding_size: int | None
    sample_rate: int
    window: int
    hop: int
    channel: int | None
    time_pattern: str | None
    batch_size: int | None = None

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all of it, as 64 hexadecimal digits."""
        return hashlib.sha256(canonical_json(self.to_dict()).encode()).hexdigest()

    @property
    def products(self) -> tuple[str, ...]:
        """What of ``PRODUCTS`` the rows hold."""
        given = {"tags": bool(self.labels), "embeddings": self.embedding_size is not None}
        return tuple(product for product in PRODUCTS if given[product])

    @property
    def options(self) -> CallOptions:
        """What the model is called with."""
        return {
            "window_s": self.window / self.sample_rate,
            "hop_s": self.hop / self.sample_rate,
            "batch_size": self.batch_size,
        }

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return asdict(self) | {"labels": list(self.labels)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the settings that ``to_dict`` gave; a ConfigError where they are others."""
        names = {field.name for field in fields(cls)}
        if set(values) != names:
            raise ConfigError(
                f"expected the settings {sorted(names)} of an archive, got {sorted(values)}; use the sound-engine that "
                "made it"
            )
        return cls(**{**values, "labels": tuple(values["labels"])})


def settings_for(
    model: Model,
    products: Collection[str] = PRODUCTS,
    window_s: float | None = None,
    hop_s: float | None = None,
    *,
    channel: int | None = None,
    time_pattern: str | None = None,
    batch_size: int | None = None,
) -> ArchiveSettings:
    """Return the settings of a run.

    Parameters
    ----------
    model : Model
    products : collection of str
        "tags", "embeddings" or both; what the model does not give is left out when both are asked for. "index" means
        the embeddings that ``engine.Index`` searches.
    window_s, hop_s : float or None
        The card's by default.
    channel : int or None
        The channel to take; None averages all.
    time_pattern : str or None
        In the codes of ``strptime``; None looks for the usual ones.
    batch_size : int or None
        What was measured on a GPU.

    Raises
    ------
    ConfigError
        A product that is unknown or that the model does not give, a window that it does not take, or a pattern
        without a date and an hour.
    """
    card = model.card
    if time_pattern is not None:
        name_expression(time_pattern)
    # An index is made of embeddings: engine.Index gathers them when it opens the archive.
    products = {"embeddings" if product == INDEX else product for product in products}
    if not products or not products <= set(PRODUCTS):
        raise ConfigError(f"expected products among {[*PRODUCTS, INDEX]}, got {sorted(products)}; choose some of them")
    given = {"tags": bool(card.labels), "embeddings": card.embedding_size is not None}
    wanted = {product for product in products if given[product]}
    if not wanted or (len(set(products)) == 1 and not given[next(iter(products))]):
        raise ConfigError(f"expected products that {card.name!r} gives, got {sorted(products)}; choose another model")
    window, hop = model.windowing(window_s=window_s, hop_s=hop_s)
    return ArchiveSettings(
        model=card.name,
        model_sha256=card.model_sha256,
        card_sha256=card.card_sha256,
        labels=card.labels if "tags" in wanted else (),
        embedding_size=card.embedding_size if "embeddings" in wanted else None,
        sample_rate=model.sample_rate,
        window=window,
        hop=hop,
        channel=channel,
        time_pattern=time_pattern,
        batch_size=batch_size,
    )


def resumed_settings(
    model: Model,
    begun: ArchiveSettings,
    products: Collection[str] | None = None,
    window_s: float | None = None,
    hop_s: float | None = None,
    *,
    channel: int | None = None,
    time_pattern: str | None = None,
) -> ArchiveSettings:
    """Return the settings of a run that goes on: what is not asked for is as it was begun, and the rest must be.

    Parameters
    ----------
    model : Model
    begun : ArchiveSettings
    products, window_s, hop_s, channel, time_pattern
        As for ``settings_for``; None is what it was begun with.

    Raises
    ------
    ConfigError
        Something differs, or is refused as in ``settings_for``.
    """
    ours = settings_for(
        model,
        begun.products if products is None else products,
        begun.options["window_s"] if window_s is None else window_s,
        begun.options["hop_s"] if hop_s is None else hop_s,
        channel=begun.channel if channel is None else channel,
        time_pattern=begun.time_pattern if time_pattern is None else time_pattern,
        batch_size=begun.batch_size,
    )
    if ours != begun:
        before, now = begun.to_dict(), ours.to_dict()
        changed = ", ".join(key for key in before if before[key] != now[key])
        raise ConfigError(
            f"expected the settings that the archive was begun with, got others ({changed}); leave them out, or choose "
            "another folder"
        )
    return ours
