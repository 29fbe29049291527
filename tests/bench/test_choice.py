"""Which of a model and its variants is faster, per device."""

from __future__ import annotations

from engine.bench.choice import variant_lines
from engine.bench.table import report_text
from tests.bench.rows import report, row


def blocks(ms):
    return ((ms,),) * 10


def both(*rows):
    (model,) = report().models
    variant = model | {"name": "tiny-waveform", "model_sha256": "2" * 64, "made_from_sha256": "1" * 64}
    return report(*rows, models=(model, variant))


def test_each_device_has_its_own_answer():
    found = both(
        row(blocks_ms=blocks(2.0)),
        row(blocks_ms=blocks(1.0), audio_s=1.0),
        row(blocks_ms=blocks(2.0), audio_s=1.0, model="tiny-waveform"),
        row(blocks_ms=blocks(4.0), device="cuda:0"),
        row(blocks_ms=blocks(5.0), model="tiny-waveform"),
        row(blocks_ms=blocks(1.0), model="tiny-waveform", device="cuda:0"),
        row("batch", blocks(1.0), model="tiny-waveform", count=8, per_run=8),
        row("network", blocks(1.0), model="tiny-waveform"),
        row("network", blocks(2.0)),
    )
    expected = [
        "tiny-waveform on cpu, 1 thread: call 10 s takes 2.50 times as long as with tiny: tiny is faster",
        "tiny-waveform on cuda:0, 1 thread: call 10 s takes 0.25 times as long as with tiny: tiny-waveform is faster",
    ]
    assert list(variant_lines(found)) == expected
    assert report_text(found).splitlines()[-3:-1] == expected


def test_noise_decides_nothing():
    wild = tuple((ms,) for ms in (1, 9, 2, 8, 3, 7, 4, 6, 5, 5))
    found = both(row(blocks_ms=blocks(4.0)), row(blocks_ms=wild, model="tiny-waveform"))
    (line,) = variant_lines(found)
    assert line.endswith("takes 1.25 times as long as with tiny: within noise")


def test_models_of_other_families_are_not_compared():
    (model,) = report().models
    other = model | {"name": "other", "model_sha256": "2" * 64}
    found = report(row(), row(model="other"), models=(model | {"made_from_sha256": "3" * 64}, other))
    assert list(variant_lines(found)) == []
