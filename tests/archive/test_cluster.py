"""Archives on a Ray cluster of several nodes on this machine: what a run leaves, whatever becomes of the nodes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import textwrap
import time
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from types import SimpleNamespace

import pytest

from engine.archive import cluster
from engine.archive import run as run_archive
from engine.errors import ArchiveError, ConfigError
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


def in_python(script, folder, *arguments):
    """Run a script in a process of its own: Ray leaves threads and warnings behind. Return what it prints last.

    It runs in its folder: Ray's workers look for modules where the script was started, and the root of the repository
    has the sources of an engine without kernels.
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(folder), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
        cwd=folder,
        env=os.environ | {"RAY_USAGE_STATS_ENABLED": "0"},
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_the_command_writes_the_rows_of_a_run_on_this_machine_straight_to_a_store(undisturbed, tiny, tmp_path):
    out = tmp_path / "out"
    store = f"file://{out}"
    command = [sys.executable, "-m", "engine", "archive", "run", "in", "-o", store, "--model", tiny, "--hop-s", "0.1"]
    command += ["--ray", "local", "--workers", "2", "--limit", "200"]
    # Relative names too, although the actors are elsewhere.
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False, cwd=undisturbed)
    assert done.returncode == 3, done.stderr
    # What is missing is done on this machine; both wrote the same kind of shards.
    more = run_archive([undisturbed / "in"], store, resume=True, workers=2)
    assert more.n_run < N_CLIPS
    assert not (out / "lock").exists()
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
            limit = time.monotonic() + 60  # the second one may begin later; nothing goes on before this returns
            while len(workers()) < 2 and time.monotonic() < limit:
                time.sleep(0.05)
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


class Ray:
    """In the place of the package: a cluster with these resources."""

    def __init__(self, **resources):
        self.resources = resources

    def cluster_resources(self):
        return self.resources

    def is_initialized(self):
        return False


@pytest.mark.parametrize(
    ("resources", "device", "expected"),
    [
        ({"CPU": 6.0}, "auto", ("cpu", 6)),
        ({"CPU": 6.0, "GPU": 2.0}, "auto", ("cuda", 2)),
        ({"CPU": 6.0, "GPU": 2.0}, "cpu", ("cpu", 6)),
        ({"CPU": 6.0, "GPU": 2.0}, "cuda", ("cuda", 2)),
    ],
)
def test_workers_by_what_the_cluster_has(monkeypatch, resources, device, expected):
    monkeypatch.setattr(cluster, "_ray", lambda: Ray(**resources))
    resolved = cluster.resolve_device(device)
    assert (resolved, cluster.resolve_workers(None, resolved)) == expected
    assert cluster.resolve_workers(3, resolved) == 3
    # The threads that decode for a GPU are its share of the CPUs.
    assert cluster.resolve_cores(resolved) == (3 if resolved == "cuda" else 1)


@pytest.mark.parametrize(("device", "reason"), [("cuda:1", "Ray chooses the GPU"), ("cuda", "Ray knows of none")])
def test_devices_that_a_cluster_does_not_give(monkeypatch, device, reason):
    monkeypatch.setattr(cluster, "_ray", lambda: Ray(CPU=2.0))
    with pytest.raises(ConfigError, match=reason):
        cluster.resolve_device(device)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:1", "expected a Ray cluster at '127.0.0.1:1', got: .*refused"),
        ("nowhere:port", "expected a Ray cluster at 'nowhere:port', got: "),
        ("ray://127.0.0.1:10001", "start the run on such a machine with --ray auto"),
    ],
)
def test_addresses_where_no_cluster_is(tmp_path, tiny, address, reason):
    clips = write_clips(tmp_path / "in", 1)
    with pytest.raises(ConfigError, match=reason):
        run_archive(clips, tmp_path / "out", tiny, ray=address)
    assert run_archive(clips, tmp_path / "out", tiny, workers=1).n_run == 1


def test_without_ray_there_is_one_sentence(tmp_path, tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"expected the package ray, .*pip install 'sound-engine\[distributed\]'"):
        run_archive(write_clips(tmp_path / "in", 1), tmp_path / "out", tiny, ray="local")


def test_callers_without_the_key_are_not_let_in(monkeypatch, tmp_path, settings):
    fake = SimpleNamespace(
        put=lambda data: data,
        remote=lambda kind: SimpleNamespace(options=lambda **_: None),
        util=SimpleNamespace(get_node_ip_address=lambda: "127.0.0.1"),
    )
    monkeypatch.setattr(cluster, "_ray", lambda: fake)
    (tmp_path / "model.onnx").write_bytes(b"model")
    actors = cluster.Actors(tmp_path / "model.onnx", "cpu", tmp_path, settings)
    with contextlib.closing(actors):
        address = actors._listener.address
        silent = socket.create_connection(address)
        with pytest.raises((AuthenticationError, EOFError, ConnectionResetError)):
            Client(address, "AF_INET", authkey=b"wrong")
        with contextlib.closing(Client(address, "AF_INET", authkey=actors._key)) as connection:
            connection.send(7)
            until = time.monotonic() + 10
            while 7 not in actors._called:
                assert time.monotonic() < until
                time.sleep(0.01)
        assert list(actors._called) == [7]
        silent.close()
    assert actors._called[7].closed
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address)


class RayError(Exception):
    pass


class RayTaskError(RayError):
    pass


@pytest.mark.parametrize(
    ("ended", "raises", "expected"),
    [
        (False, None, "its connection ended"),
        (True, None, "its connection ended"),
        (True, RayError("The actor died unexpectedly.\nclass_name: Actor"), "The actor died unexpectedly"),
    ],
)
def test_why_a_worker_is_gone_and_that_it_is(monkeypatch, ended, raises, expected):
    killed = []

    def get(reference):
        if raises is not None:
            raise raises

    fake = SimpleNamespace(
        wait=lambda references, timeout: (references if ended else [], []),
        get=get,
        kill=lambda actor, no_restart: killed.append((actor, no_restart)),
        exceptions=SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError),
    )
    monkeypatch.setattr(cluster, "_ray", lambda: fake)
    assert cluster.RemoteWorker("actor", "reference", 0, {}).cause() == expected
    # One that is cut off may still be at work.
    assert killed == [("actor", True)]


def test_a_cluster_without_the_engine_ends_the_run(monkeypatch):
    def get(reference):
        raise RayTaskError("ModuleNotFoundError: No module named 'engine'")

    fake = SimpleNamespace(
        wait=lambda references, timeout: (references, []),
        get=get,
        exceptions=SimpleNamespace(RayError=RayError, RayTaskError=RayTaskError),
    )
    monkeypatch.setattr(cluster, "_ray", lambda: fake)
    worker = cluster.RemoteWorker("actor", "reference", 0, {})
    assert (worker.connection, worker.handles, worker.is_alive()) == (None, [], False)
    with pytest.raises(ArchiveError, match=r"must be installed on every machine .*\n.*No module named 'engine'"):
        worker.cause()
