"""A whole benchmark: every model on every device with every number of threads."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from hashlib import file_digest
from itertools import product
from typing import TYPE_CHECKING, Any

from engine.bench.clients import Clients
from engine.bench.clip import clip, recording_rate
from engine.bench.cold import FIRST_RESULT, PHASES, SECOND_CALL, run_cold
from engine.bench.machine import machine, variables, versions
from engine.bench.plan import ALL_DEVICES, Plan, find_devices
from engine.bench.report import Memory, Report, Row
from engine.bench.sampling import BLOCKS, Repeated, take_turns
from engine.bench.stages import StagedModel, stage_probes, windows_per_run
from engine.errors import DeviceError, ModelError
from engine.options import AUTO
from engine.registry import find_model
from engine.threads import resolve_threads
from engine.verb import Verb

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from engine.bench.report import Blocks
    from engine.bench.sampling import Probe
    from engine.card import ModelCard


def run_plan(plan: Plan, progress: Callable[[str], object] | None = None) -> Report:
    """Measure what the plan asks for.

    Parameters
    ----------
    plan : Plan
    progress : callable, optional
        Called with a line of text on what is measured next.

    Raises
    ------
    ModelError
        A model cannot be used, takes no sound, or two have the same name.
    DeviceError
        A device that was asked for by name cannot run.
    ConfigError
        There is no device of that name, or a number of threads is none.
    """
    devices, skipped = find_devices(plan.devices)
    models = _described(plan.models)
    at_start = machine()
    rows: list[Row] = []
    memory: list[Memory] = []
    sweeps: list[dict[str, Any]] = []
    for (path, description), device in product(models, devices):
        for threads in dict.fromkeys(map(resolve_threads, plan.threads)):
            if progress is not None:
                progress(f"{description['name']} on {device}, {threads} thread{'s' * (threads > 1)}")
            try:
                verb = Verb(path, device, threads)
            except DeviceError as error:
                # What is in the way of one model, such as too little memory, need not be in the way of the next.
                if ALL_DEVICES not in plan.devices:
                    raise
                skipped.append(f"{description['name']} on {device}: {error}")
                break
            with verb:
                rows += _warm_rows(plan, path, verb)
                setting = {"model": verb.card.name, "device": verb.device, "threads": verb.threads}
                sweeps += [setting | sweep.to_dict() for sweep in verb.batch_sweeps]
            cold, peaks = _cold_rows(plan, path, verb)
            rows += cold
            memory += peaks
    return Report(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        settings=asdict(plan) | {"blocks": BLOCKS, "variables": variables()},
        machine=at_start,
        versions=versions(),
        models=tuple(description for _, description in models),
        rows=tuple(rows),
        memory=tuple(memory),
        skipped=tuple(skipped),
        batch_sweeps=tuple(sweeps),
    )


def _described(models: Sequence[str | None]) -> list[tuple[Path, dict[str, Any]]]:
    described = []
    for model in models:
        path = find_model(model)
        with Verb(path, "cpu", 1) as verb:
            described.append((path, _description(path, verb.card)))
    names = [description["name"] for _, description in described]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ModelError(
            f"expected models with names of their own, got {', '.join(twice)} more than once; measure them one by one "
            "and compare the reports"
        )
    return described


def _description(path: Path, card: ModelCard) -> dict[str, Any]:
    if card.sample_rate is None:
        raise ModelError(f"expected a model that takes sound, {card.name!r} takes rows of embeddings; leave it out")
    made_from = (card.metrics or {}).get("made_from")
    with path.open("rb") as file:
        digest = file_digest(file, "sha256").hexdigest()
    return {
        "name": card.name,
        "file": path.name,
        "file_sha256": digest,
        "model_sha256": card.model_sha256,
        "card_sha256": card.card_sha256,
        "sample_rate": card.sample_rate,
        "recording_rate": recording_rate(card.sample_rate),
        "window_s": card.window / card.sample_rate,
        "hop_s": card.hop / card.sample_rate,
        "made_from_sha256": made_from.get("model_sha256") if isinstance(made_from, dict) else None,
    }


def _warm_rows(plan: Plan, path: Path, verb: Verb) -> list[Row]:
    card = verb.card
    rate = card.sample_rate or 1
    # What to time, with the row's count, its seconds of audio and, for a batch, the windows that go in at a time.
    work: list[tuple[Probe, int, float, int | None]] = []
    for seconds in plan.durations_s:
        call = partial(verb, (clip(seconds, rate), rate))
        work.append((Repeated("call", call), 1, seconds, None))
        if seconds == plan.durations_s[0]:
            work += [(Clients(call, count), count, seconds, None) for count in plan.clients]
    with ExitStack() as opened:
        if plan.stages or plan.batches:
            staged = opened.enter_context(StagedModel.open(path, verb.device, verb.threads))
            for seconds in plan.durations_s if plan.stages else ():
                work += [(probe, 1, seconds, None) for probe in stage_probes(staged, seconds)]
            for count in _batch_sizes(plan, verb):
                seconds = (card.window + (count - 1) * card.hop) / rate
                samples = clip(seconds, rate)
                batch = partial(verb, (samples, rate), batch_size=count)
                work.append((Repeated("batch", batch), count, seconds, windows_per_run(staged, samples, count)))
        taken = take_turns([probe for probe, *_ in work], plan.repeats, plan.limit_s)
    return [
        _row(verb, samples.measure, samples.blocks_s, seconds, count, per_run)
        for (_, count, seconds, per_run), measures in zip(work, taken, strict=True)
        for samples in measures
    ]


def _batch_sizes(plan: Plan, verb: Verb) -> list[int]:
    """Return the sizes that are asked for, without doubles; the best one is measured first."""
    if AUTO in plan.batches:
        verb.warmup(batch_size=AUTO)
    best = verb.batch_sweeps[0].size if verb.batch_sweeps else 1
    return list(dict.fromkeys(best if size == AUTO else size for size in plan.batches))


def _cold_rows(plan: Plan, path: Path, verb: Verb) -> tuple[list[Row], list[Memory]]:
    if plan.cold == 0:
        return [], []
    seconds = plan.durations_s[0]
    answers = [run_cold(path, verb.device, verb.threads, seconds) for _ in range(plan.cold)]
    rows = [
        _row(verb, measure, tuple((answer[measure],) for answer in answers), seconds)
        for measure in (*PHASES, FIRST_RESULT, SECOND_CALL)
    ]
    peaks = tuple(answer["peak_bytes"] for answer in answers if answer["peak_bytes"] is not None)
    return rows, [Memory(verb.card.name, verb.device, verb.threads, peaks)]


def _row(verb: Verb, measure: str, blocks: Blocks, seconds: float, count: int = 1, per_run: int | None = None) -> Row:
    return Row(verb.card.name, verb.device, verb.threads, measure, count, seconds, blocks, per_run)
