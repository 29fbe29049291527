"""Open models that were damaged at random: each works, or is refused with one sentence of an EngineError.

Bytes are flipped, cut and moved, fields of the graph are replaced by odd values, and cards lie about their model with a
hash that fits. A crash or a hang of the runtime ends the process; the model that did it stays in the folder ``--keep``.
Run 20,000 cases with::

    python -m tests.fuzz_models --cases 20000 --seed 1 --keep /tmp/fuzz
"""

from __future__ import annotations

import argparse
import copy
import faulthandler
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper

from engine.card import ModelConstant, ModelInput, ModelOutput, ModelOutputs, ModelState
from engine.errors import EngineError
from engine.fingerprint import METADATA_KEY, canonical_json, card_sha256
from engine.model import Model
from engine.registry import models_folder
from engine.two_tower import TwoTower
from tests import tiny_models, tiny_towers

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.card import ModelCard
    from engine.results import Clip

SECONDS_PER_CASE = 20
# What the process may map: an absurd shape shall fail to allocate, not fill the machine.
ADDRESS_SPACE = 6 << 30
# Opening may add this much to the largest resident size.
MAX_GROWTH_MIB = 600
# Beyond these a call takes its time by design: windows of hours, or of millions of frames.
MAX_WINDOW, MAX_WORK = 1 << 20, 1 << 28
ODD_NUMBERS = [0, 1, -1, 2, 3, 7, 255, 2**16, 2**31 - 1, 2**31, -(2**31), 2**40, 2**62, -(2**63)]
ODD_VALUES: list[Any] = [
    *ODD_NUMBERS,
    0.5,
    1e308,
    -1e-300,
    "",
    "x",
    "\x00",
    "a" * 5000,
    None,
    True,
    [],
    {},
    [[]],
    ["batch"],
]


class Fuzzer:
    """Draws damaged models; one generator, so that a seed gives the same cases again."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.outcomes: Counter[str] = Counter()
        self.bases = [
            save(tiny_models.log_mel_network(), tiny_models.log_mel_card()),
            save(tiny_models.waveform_network(), tiny_models.waveform_card()),
            save(*stateful()),
            save(tiny_towers.two_tower_network(), tiny_towers.two_tower_card()),
            (models_folder() / "esc10.onnx").read_bytes(),
        ]
        self.ways: list[Callable[[bytes], bytes]] = [self.damaged_bytes, self.damaged_graph, self.damaged_card]

    def case(self) -> tuple[str, bytes]:
        """Return a way of damaging and a damaged model."""
        way = self.random.choice(self.ways)
        return way.__name__, way(self.random.choice(self.bases))

    def damaged_bytes(self, model: bytes) -> bytes:
        """Return bytes with some of them flipped, cut out, put in, moved or cut off."""
        data = bytearray(model)
        for _ in range(self.random.choice([1, 1, 2, 8])):
            start = self.random.randrange(len(data))
            # The graph and the card are a small part of a large file.
            if self.random.random() < 0.5:
                start = self.random.randrange(max(0, len(data) - 12_000), len(data))
            end = start + self.random.choice([1, 1, 1, 4, 64, 1000])
            kind = self.random.randrange(6)
            if kind == 0:
                data[start] ^= 1 << self.random.randrange(8)
            elif kind == 1:
                data[start:end] = self.random.randbytes(len(data[start:end]))
            elif kind == 2:
                del data[start:end]
            elif kind == 3:
                data[start:start] = self.random.randbytes(end - start)
            elif kind == 4:
                data[start:start] = data[start:end]
            else:
                del data[start:]
            if not data:
                return b"\x08"
        return bytes(data)

    def damaged_graph(self, model: bytes) -> bytes:
        """Return a model that parses, with some fields of its graph replaced by odd values, doubled or left out."""
        proto = onnx.ModelProto.FromString(model)
        for _ in range(self.random.choice([1, 1, 2, 4])):
            self.damage_message(proto)
        return bytes(proto.SerializeToString())

    def damage_message(self, message: Any) -> None:
        """Descend to a random field of a message and damage it."""
        set_fields = [(field, value) for field, value in message.ListFields() if field.name != "metadata_props"]
        if not set_fields:
            return
        field, value = self.random.choice(set_fields)
        if field.is_repeated:
            index = self.random.randrange(len(value))
            kind = self.random.randrange(8)
            if kind == 0:
                del value[index]
            elif kind == 1 and field.message_type is None:
                value.append(value[index])
            elif kind == 1:
                value.add().CopyFrom(value[index])
            elif field.message_type is None:
                value[index] = self.odd(field, value[index])
            else:
                self.damage_message(value[index])
        elif field.message_type is not None:
            self.damage_message(value)
        else:
            setattr(message, field.name, self.odd(field, value))

    def odd(self, field: Any, value: Any) -> Any:
        """Return a value that the field's type allows, rarely a sensible one."""
        if field.cpp_type in (field.CPPTYPE_FLOAT, field.CPPTYPE_DOUBLE):
            return self.random.choice([0.0, -1.0, 1e30, float("nan"), float("inf")])
        if field.cpp_type == field.CPPTYPE_STRING:
            if isinstance(value, bytes):
                return value[: self.random.randrange(len(value) + 1)]
            return self.random.choice(["", "x", "scores", "log_mel", "ai.onnx.ml", "Loop", "Conv", "GRU", "a" * 5000])
        if field.cpp_type == field.CPPTYPE_ENUM:
            return self.random.choice(field.enum_type.values).number
        number = max(-(2**63), min(self.random.choice([*ODD_NUMBERS, value + 1, value - 1]), 2**63 - 1))
        if field.cpp_type in (field.CPPTYPE_INT32, field.CPPTYPE_UINT32):
            return max(0 if field.cpp_type == field.CPPTYPE_UINT32 else -(2**31), min(number, 2**31 - 1))
        return max(number, 0) if field.cpp_type == field.CPPTYPE_UINT64 else number

    def damaged_card(self, model: bytes) -> bytes:
        """Return a sound network whose card has odd values and a hash that fits them."""
        proto = onnx.ModelProto.FromString(model)
        entry = next(entry for entry in proto.metadata_props if entry.key == METADATA_KEY)
        card = json.loads(entry.value)
        for _ in range(self.random.choice([1, 1, 2, 4])):
            self.damage_json(card)
        entry.value = canonical_json(card | {"card_sha256": card_sha256(card)})
        return bytes(proto.SerializeToString())

    def damage_json(self, part: Any) -> None:
        """Descend to a random value of a JSON tree and damage it."""
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        if not keys:
            return
        key = self.random.choice(keys)
        if isinstance(part[key], dict | list) and self.random.random() < 0.8:
            self.damage_json(part[key])
        elif self.random.random() < 0.1:
            del part[key]
        else:
            near = [part[key] + 1, part[key] * 2] if type(part[key]) is int else [part[key]]
            part[key] = copy.deepcopy(self.random.choice([*ODD_VALUES, *near]))

    def try_model(self, path: Path, way: str) -> None:
        """Open a model and run it on noise; anything but a result or an EngineError is a fault."""
        try:
            model = Model.open(path, device="cpu", threads=1)
        except EngineError as error:
            self.refused(way, "open", error)
            return
        if is_too_much(model):
            self.outcomes[f"{way}: opened"] += 1
            return
        noise = np.random.default_rng(0).standard_normal(model.card.window + 5).astype(np.float32)
        try:
            if model.card.sample_rate is None:
                model.rows(noise[: 4 * (noise.size // 4)].reshape(-1, 4), row_s=1.0)
            else:
                clip = model((noise, model.card.sample_rate))
                assert clip.scores.shape == (len(model.card.labels),)
                assert np.isfinite(clip.scores).all()
            if model.card.query is not None:
                compare(model, clip)
        except EngineError as error:
            self.refused(way, "run", error)
        else:
            self.outcomes[f"{way}: ran"] += 1

    def refused(self, way: str, stage: str, error: EngineError) -> None:
        """Count a refusal, whose message must be one sentence that fits a terminal."""
        message = str(error)
        assert "\n" not in message
        assert len(message) < 1500, message[:1500]
        self.outcomes[f"{way}: refused to {stage}"] += 1


def compare(reference: Model, clip: Clip) -> None:
    """Run the query tower and the head of a model of two towers."""
    towers = TwoTower(reference.session, reference.card)
    assert clip.embedding is not None
    if not is_too_much(towers.query):
        rate = towers.query.sample_rate
        query = towers.query((np.ones(towers.query.card.window, np.float32), rate)).embedding
        assert query is not None
        assert towers.similarities(query, clip.embedding[np.newaxis]).shape == (1,)


def is_too_much(model: Model) -> bool:
    """Return whether a call would take long or much memory because the card says so."""
    card = model.card
    work = 0 if card.frontend is None else card.frontend.n_frames(card.window) * card.frontend.n_fft
    return card.window > MAX_WINDOW or work > MAX_WORK or card.window > 100 * card.hop


def stateful() -> tuple[onnx.ModelProto, ModelCard]:
    """Return a network with everything that schema 2 added: context, a state, a constant, and scores over time."""
    nodes = [
        helper.make_node("Unsqueeze", ["waveform", "last"], ["column"]),
        helper.make_node("MatMul", ["column", "weights"], ["products"]),
        helper.make_node("Cast", ["rate"], ["rate_hz"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Div", ["state", "rate_hz"], ["memory"]),
        helper.make_node("Add", ["products", "memory"], ["frames"]),
        helper.make_node("ReduceMean", ["frames", "time"], ["next_state"], keepdims=1),
    ]
    constants = {"last": np.array([-1]), "time": np.array([1]), "weights": np.array([[1, 2, -1]], np.float32)}
    inputs = {"waveform": ["batch", "time"], "state": [1, 1, 3], "rate": []}
    outputs = {"frames": ["batch", "time", 3], "next_state": [1, 1, 3]}
    network = tiny_models.build(nodes, inputs, outputs, constants)
    network.graph.input[2].type.tensor_type.elem_type = onnx.TensorProto.INT64
    states, fixed = (ModelState("state", "next_state", (1, 1, 3)),), (ModelConstant("rate", "int64", (), 8000),)
    card = tiny_models.waveform_card(
        input=ModelInput("waveform", "waveform", ("batch", "time"), 8000, 16, states, fixed),
        outputs=ModelOutputs(frames=ModelOutput("frames", ("batch", "time", "label"))),
        frame_hop=1,
        frame_length=1,
        window=500,
        hop=500,
    )
    return network, card


def save(network: onnx.ModelProto, card: ModelCard) -> bytes:
    """Return the bytes of a sound model."""
    with tempfile.TemporaryDirectory() as folder:
        return tiny_models.save(Path(folder, "model.onnx"), network, card).read_bytes()


def peak_mib() -> int:
    """Return the largest resident size so far; 0 where the system does not say."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) // 1024


def limit_memory() -> None:
    """Make absurd allocations fail, where the system can."""
    if sys.platform == "linux":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))


def main() -> None:
    """Run the cases and print how they ended."""
    faulthandler.enable()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the model that is being opened")
    options = parser.parse_args()
    fuzzer = Fuzzer(options.seed)
    limit_memory()
    with tempfile.TemporaryDirectory() as folder:
        path = (options.keep or Path(folder)) / "case.onnx"
        path.parent.mkdir(parents=True, exist_ok=True)
        peak = peak_mib()
        for number in range(options.cases):
            way, content = fuzzer.case()
            path.write_bytes(content)
            # A hang shows where it is, and ends the process.
            faulthandler.dump_traceback_later(SECONDS_PER_CASE, exit=True)
            try:
                fuzzer.try_model(path, way)
            except BaseException:
                sys.stderr.write(f"case {number} of seed {options.seed}, {way}, {path}\n")
                raise
            faulthandler.cancel_dump_traceback_later()
    growth = peak_mib() - peak
    sys.stdout.write(f"{dict(sorted(fuzzer.outcomes.items()))}, {growth} MiB\n")
    if growth > MAX_GROWTH_MIB:
        sys.exit(f"the largest resident size grew by {growth} MiB, more than {MAX_GROWTH_MIB}")


if __name__ == "__main__":
    main()
