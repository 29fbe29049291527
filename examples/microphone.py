"""Tag what the microphone hears, until Ctrl-C.

pip install sounddevice
python examples/microphone.py [MODEL]
"""

from __future__ import annotations

import queue
import sys
from typing import Any

from engine import Tagger


def main() -> None:
    """Print the best label of each window as it is heard."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: the system's PortAudio library is missing
        sys.exit(f"expected the package sounddevice with PortAudio, got {error}; pip install sounddevice")
    tagger = Tagger(sys.argv[1] if len(sys.argv) > 1 else None)
    rate = int(sounddevice.query_devices(kind="input")["default_samplerate"])
    blocks: queue.Queue = queue.Queue()

    def heard(block: Any, _frames: int, _time: Any, status: Any) -> None:
        """Keep a copy: the sound card uses its block again, and this thread must not wait for the network."""
        if status:
            print(status, file=sys.stderr)
        blocks.put(block.copy())

    with (
        tagger.stream(sample_rate=rate, hop_s=0.5) as stream,
        sounddevice.InputStream(samplerate=rate, callback=heard),
    ):
        window_s = tagger.card.window / tagger.card.sample_rate
        print(f"{tagger} listens at {rate} Hz; the first result comes after {window_s:.1f} s")
        while True:
            for window in stream.push(blocks.get()):
                best = window.top(1)[0]
                print(f"{window.end_s:8.1f} s  {best.label:<20} {best.score:.2f}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        print()
