"""``engine doctor``: what is installed, what this machine offers, and what to do about what is missing."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.doctor import Report, Threads

WORKS, BROKEN = 0, 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs and bug reports.")
def doctor(as_json: bool) -> int:
    """Look at the installation and this machine: versions, devices, libraries, models, and what to install.

    \b
    Exit codes:
      0  the engine works on the CPU
      1  it does not
    """  # noqa: D301  (click wants the character \b before lines that it must not wrap)
    from engine.doctor import examine

    report = examine()
    if as_json:
        click.echo(json.dumps(asdict(report), indent=2, ensure_ascii=False))
    else:
        rows = list(_rows(report))
        width = max(len(name) for name, _ in rows)
        click.echo("\n".join(f"{name:<{width}}  {text}".rstrip() for name, text in rows))
    return WORKS if report.works else BROKEN


def _rows(report: Report) -> Iterator[tuple[str, str]]:
    yield "engine", f"{report.engine}, {'works on the CPU' if report.works else 'DOES NOT WORK'}"
    yield "python", report.python
    yield "platform", report.platform
    for package in report.packages:
        wheel = f" from {package.distribution}" if package.distribution not in (None, package.name) else ""
        library = f", libsndfile {report.libsndfile}" if package.name == "soundfile" and report.libsndfile else ""
        fault = f" {package.error}" if package.error else ""
        yield package.name, f"{package.version or ''}{wheel}{library}{fault}".strip()
    others = [name for name in report.instruction_sets if name != report.instruction_set]
    beside = f"; this processor also has {', '.join(others)}" if others else ""
    yield "instructions", f"{report.instruction_set or 'unknown'}{beside}"
    yield "threads", "unknown" if report.threads is None else _threads(report.threads)
    for device in report.devices:
        yield device.name, "can be used" if device.obstacle is None else f"cannot be used: {device.obstacle}"
    if report.cuda_found:
        yield "CUDA found", ", ".join(report.cuda_found)
    if report.cuda_missing:
        yield "CUDA missing", ", ".join(report.cuda_missing)
    for model in report.models:
        hidden = ", hidden by another of that name" if model.hidden else ""
        yield "model", f"{model.name} ({model.origin}{hidden}): {'unusable' if model.error else 'usable'}, {model.path}"
    for problem in report.problems:
        yield "PROBLEM", problem
    for hint in report.hints:
        yield "to have more", hint


def _threads(threads: Threads) -> str:
    reasons = [f"the machine has {threads.machine} CPUs"] if threads.machine else []
    if threads.affinity is not None:
        reasons.append(f"this process may run on {threads.affinity}")
    if threads.cgroup is not None:
        reasons.append(f"its control group grants {threads.cgroup:g}")
    return f"{threads.used}: {', '.join(reasons)}"
