"""Encoders that start from a run of this project: their weights, their sizes, and the front end that they know."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import torch
from torch import Tensor

from engine.card import read_card
from engine.errors import ConfigError
from training.run import read_config

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from torch import nn

    from engine import FrontendConfig

# A field that only this recipe's runs have: cells of a grid do not say whose they are.
MARKS = {
    "two_tower": "query_encoder",
    "semi_supervised_triplet": "strategy",
    "triple_header": "outer_iterations",
    "keywords": "live_hop_s",
    "esc10": "inaudible_db",
    "angular": "mask_mels",
}
# Where an encoder may stand in what a recipe saves: averaged, in a detector, in a tower, or by itself.
PLACES = ("module.", "encoder.", "{side}.network.network.", "{side}.network.", "")
# Of labels that a tower does not have.
LAST_LAYERS = ("classify.", "classify_steps.", "head.", "fc_audioset.", "classifier.")


@dataclass(frozen=True, eq=False)
class RunEncoder:
    """The encoder of a run.

    Attributes
    ----------
    folder : Path
    side : str
    kind : str
        Its name among the towers.
    sizes : mapping
        The run's fields, of which the builder takes what it knows.
    frontend : FrontendConfig
        As the run's model has it, statistics of its bands included.
    window : int
        Samples.
    """

    folder: Path
    side: str
    kind: str
    sizes: Mapping[str, Any]
    frontend: FrontendConfig
    window: int

    def load_into(self, network: nn.Module) -> None:
        """Put the run's weights into a network of its sizes, all but those of the last layer.

        What was fitted behind a network after it had learnt, as the discriminant of esc10, is no part of it.

        Raises
        ------
        ConfigError
            The checkpoint has no such weights.
        """
        own = {name: value for name, value in network.state_dict().items() if not name.startswith(LAST_LAYERS)}
        path = self.folder / "checkpoint.pt"
        checkpoint = torch.load(path, weights_only=True, map_location="cpu") if path.exists() else {}
        for weights in _state_dicts(checkpoint):
            for place in PLACES:
                prefix = place.format(side=self.side)
                found = {name: weights.get(prefix + name) for name in own}
                if all(isinstance(found[name], Tensor) and found[name].shape == own[name].shape for name in own):
                    network.load_state_dict(found, strict=False)
                    return
        raise ConfigError(
            f"expected the weights of a {self.kind} encoder in {path}, got none that fit; begin from a finished run"
        )


def encoder_of_run(folder: Path, side: str) -> RunEncoder:
    """Return what the encoder of a run is, without its weights.

    Parameters
    ----------
    folder : Path
        A run of esc10, keywords, semi_supervised_triplet, triple_header, angular, or of this recipe; of a grid as well.
    side : "query" or "reference"
        Of a run of this recipe, which tower.

    Raises
    ------
    ConfigError
        The run is another recipe's, or has no model that hears sound.
    """
    values = read_config(folder)
    recipe = values.get("recipe") or next((name for name, mark in MARKS.items() if mark in values), "")
    if recipe not in MARKS:
        raise ConfigError(
            f"expected a run of {', '.join(MARKS)} to start from, got {folder} of {recipe or 'another recipe'}, whose "
            "network hears no sound; choose another run"
        )
    card = _card(folder)
    tower = card.query if recipe == "two_tower" and side == "query" else card
    if tower is None or tower.frontend is None:
        raise ConfigError(f"expected a model with a front end in {folder}, got {card.name!r}; choose another run")
    kind, sizes = _kind(values, recipe, side)
    return RunEncoder(folder, side, kind, sizes, tower.frontend, tower.window)


def _kind(values: Mapping[str, Any], recipe: str, side: str) -> tuple[str, Mapping[str, Any]]:
    if recipe == "two_tower":
        encoder = values[f"{side}_encoder"]
        if not (Path(encoder) / "config.json").is_file():
            return encoder, {name: values[name] for name in ("channels", "layers", "width") if values[name]}
        # A tower that itself began from a run has that one's sizes.
        earlier = encoder_of_run(Path(encoder), side)
        return earlier.kind, earlier.sizes
    kinds = {"esc10": "frames", "keywords": "frames", "semi_supervised_triplet": "segments"}
    return kinds.get(recipe) or values["encoder"], values


def _card(folder: Path) -> Any:
    """Return the card of the run's model; of several folds the last, whose weights are in the checkpoint."""
    models = sorted(folder.glob("*.onnx"), key=lambda path: (-len(path.name), path.name))
    if not models:
        raise ConfigError(f"expected a finished run with its model, got {folder} without; finish it first")
    model = onnx.load(models[-1])
    return read_card({entry.key: entry.value for entry in model.metadata_props})


def _state_dicts(values: Any) -> Iterator[Mapping[str, Any]]:
    """Yield every mapping in a checkpoint, averaged weights before others of the same place."""
    if isinstance(values, dict):
        yield values
        for name in sorted(values, key=lambda name: (name != "average", str(name))):
            yield from _state_dicts(values[name])
