"""How close the front end inside a graph is to the one in C++: ``python -m benchmarks.waveform``.

For every preset two seconds of each signal go through the graph of the waveform variant, through the C++ kernels and
through the float64 definition (``tests/oracles.py``), and the largest differences of a log-mel value are tabulated. The
difference of the C++ front end from float64 is what a graph in exact arithmetic would differ by from it.

The last columns are the largest difference of scores and embeddings of a convolutional network behind either, on the
recordings that ``engine models convert`` makes up and on the signals of this table.
"""

from __future__ import annotations

import argparse
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import report
from engine.convert.candidate import open_candidate
from engine.convert.waveform import to_waveform
from engine.convert.waveform_parity import check_waveform
from engine.frontend import PRESETS, LogMel
from tests import oracles
from tests.convert import networks
from tests.convert.test_log_mel_graph import Graph

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from engine.frontend import FrontendConfig

SECONDS = 2
PAIRS = ("graph, C++", "graph, float64", "C++, float64")


def signals(rate: int) -> dict[str, NDArray[np.float32]]:
    """Return the signals by name: noise of two colours, and a tone in noise 60 dB below it and by itself."""
    rng, n = np.random.default_rng(1), SECONDS * rate
    frequencies = np.maximum(np.arange(n // 2 + 1), 1)
    pink = np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) / np.sqrt(frequencies), n)
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(n) / rate)
    found = {
        "white noise": 0.1 * rng.standard_normal(n),
        "pink noise": 0.5 * pink / np.abs(pink).max(),
        "tone over noise": tone + 5e-4 * rng.standard_normal(n),
        "tone": tone,
    }
    return {name: signal.astype(np.float32) for name, signal in found.items()}


def differences(config: FrontendConfig) -> dict[str, dict[str, float]]:
    """Return the largest difference of each pair for each signal, in the unit of the preset's logarithm."""
    graph, kernels = Graph(config), LogMel(config)
    found = {}
    for name, signal in signals(config.sample_rate).items():
        mine, theirs = graph(signal[np.newaxis])[0].astype(np.float64), kernels(signal).astype(np.float64)
        exact = oracles.log_mel(config, signal)
        of_pairs = (mine - theirs, mine - exact, theirs - exact)
        found[name] = {pair: float(np.abs(values).max()) for pair, values in zip(PAIRS, of_pairs, strict=True)}
    return found


def outputs(config: FrontendConfig) -> dict[str, float]:
    """Return the largest difference of outputs behind either front end, made-up recordings and these signals apart."""
    rate = config.sample_rate
    original = (networks.convolutional(config.n_mels), networks.card(frontend=config, window=rate, hop=rate))
    variant = to_waveform(*original)
    model, other = open_candidate(*original), open_candidate(*variant)
    found = {"recordings": check_waveform(original, variant)}
    for name, signal in signals(rate).items():
        one, two = model((signal, rate)), other((signal, rate))
        found[name] = float(max(np.abs(one.scores - two.scores).max(), np.abs(one.embedding - two.embedding).max()))
    return found


def main() -> None:
    """Measure every preset and write the table to benchmarks/results/."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    warnings.simplefilter("ignore")  # filters that hold no bin
    result: dict[str, Any] = report.circumstances("benchmarks.waveform", ("numpy", "onnxruntime-gpu", "onnxruntime"))
    result["presets"] = {
        name: {"log": config.log, "frames": differences(config), "outputs": outputs(config)}
        for name, config in PRESETS.items()
    }
    names = list(signals(8000))
    rows = [
        [
            f"`{name}` ({found['log']})",
            *(" / ".join(f"{found['frames'][signal][pair]:.0e}" for pair in PAIRS) for signal in names),
            f"{found['outputs']['recordings']:.0e}",
            f"{max(found['outputs'][signal] for signal in names):.0e}",
        ]
        for name, found in result["presets"].items()
    ]
    table = report.table(["preset", *names, "outputs", "outputs, these signals"], rows)
    text = "\n\n".join([report.heading(result), f"Each cell: {' / '.join(PAIRS)}.", table])
    print(text)
    print(f"wrote {report.write('waveform', result, text)}")


if __name__ == "__main__":
    main()
