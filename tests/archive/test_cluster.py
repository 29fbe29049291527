"""Archives on a Ray cluster of several nodes on this machine: what a run leaves, whatever becomes of the nodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import pytest

from engine.archive import run as run_archive
from tests.archive.recordings import files_in, windows_in, write_clips

pytest.importorskip("ray")
N_CLIPS = 300
LIMIT_S = 100


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny):
    """Folder of the clips, one of them no recording, and of their archive as it comes out on this machine."""
    folder = tmp_path_factory.mktemp("undisturbed")
    clips = write_clips(folder / "in", N_CLIPS, 1.0)
    clips[17].write_bytes(b"no audio")
    run_archive([folder / "in"], folder / "out", tiny, hop_s=0.1, workers=2)
    return folder


def same(out, folder):
    return windows_in(out) == windows_in(folder / "out") and files_in(out) == files_in(folder / "out")


def in_python(script, *arguments):
    """Run a script in a process of its own: Ray leaves threads and warnings behind. Return what it prints last."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_the_command_gives_the_rows_of_a_run_on_this_machine(undisturbed, tiny, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "engine", "archive", "run", "in", "-o", out, "--model", tiny, "--hop-s", "0.1"]
    command += ["--ray", "local", "--workers", "2", "--limit", "200"]
    # Relative names too, although the actors are elsewhere.
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False, cwd=undisturbed)
    assert done.returncode == 3, done.stderr
    # What is missing is done on this machine; both wrote the same kind of shards.
    more = run_archive([undisturbed / "in"], out, resume=True, workers=2)
    assert more.n_run < N_CLIPS
    assert windows_in(out) == windows_in(undisturbed / "out")
    assert {row["uri"]: row["n_windows"] for row in files_in(out)} == {
        row["uri"]: row["n_windows"] for row in files_in(undisturbed / "out")
    }


LOSSES = """
    import json, os, signal, sys, threading, time
    from ray.cluster_utils import Cluster
    from engine.archive import run

    folder, out, tiny = sys.argv[1:]
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    seen = []

    def workers():
        found = []
        for entry in os.listdir("/proc"):
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    if entry.isdigit() and file.read().startswith(b"ray::Actor.work"):
                        found.append(int(entry))
            except OSError:
                pass
        return found

    def watch(progress):
        if progress.n_done > 20 and not seen:
            seen.append(len(workers()))
            os.kill(workers()[0], signal.SIGKILL)
        elif progress.n_done > 60 and len(seen) == 1:
            seen.append(progress.n_done)
            cluster.remove_node(node, allow_graceful=False)

    summary = run([folder], out, tiny, hop_s=0.1, ray=cluster.address, workers=2, progress=watch)
    cluster.shutdown()
    print(json.dumps({"seen": seen, "n_items": summary.n_items, "n_failed": summary.n_failed}))
"""


def test_a_killed_actor_and_a_node_that_is_lost_lose_nothing_and_give_nothing_twice(undisturbed, tiny, tmp_path):
    out = tmp_path / "out"
    said = in_python(LOSSES, undisturbed / "in", out, tiny)
    assert said["seen"][0] == 2
    assert len(said["seen"]) == 2
    assert (said["n_items"], said["n_failed"]) == (N_CLIPS, 1)
    assert same(out, undisturbed)
    assert list(out.rglob("*.partial")) == []
