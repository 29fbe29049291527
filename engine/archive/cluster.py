"""Workers on a Ray cluster: actors that call back to the run and then do what a local process does.

Ray finds a place for an actor, brings the model there and tells of its end; shards and what becomes of them travel over
a connection of their own, the same as between a run and its local processes. All that a lost machine takes along is
the connection, and so one way of supervising serves both.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import tempfile
import threading
from multiprocessing.connection import Client, Listener, answer_challenge, deliver_challenge
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.archive.heap import keep_freed_memory
from engine.archive.worker import work
from engine.errors import ArchiveError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from engine.archive.settings import ArchiveSettings

LOCAL = "local"
# A machine that is gone without a word is missed after IDLE_S + PROBES * EVERY_S of silence.
IDLE_S, EVERY_S, PROBES = 15, 5, 3
# What the head of a cluster gets to answer.
CONNECT_S = 10.0
# What Ray gets to say why a worker is gone.
CAUSE_S = 0.5
# Of the object store of a cluster that is started here: it holds the model alone.
STORE_BYTES = 200 << 20


@contextlib.contextmanager
def connected(address: str, workers: int | None) -> Iterator[None]:
    """Join a Ray cluster, or start one on this machine for "local"; a process that has joined one stays with it.

    Raises
    ------
    ConfigError
        Ray is missing, or there is no cluster at the address.
    """
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    if address.startswith("ray://"):
        raise ConfigError(
            f"expected the address of a Ray cluster as one of its machines sees it, got {address!r}; start the run on "
            "such a machine with --ray auto"
        )
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR", "configure_logging": False}
    if address == LOCAL:
        options |= {"address": LOCAL, "include_dashboard": False, "num_cpus": workers}
        options |= {"object_store_memory": STORE_BYTES}
    else:
        options["address"] = address
    with _kept_signals():
        try:
            if ":" in address:
                # Ray itself would try for many minutes.
                host, _, port = address.rpartition(":")
                socket.create_connection((host, int(port)), CONNECT_S).close()
            ray.init(**options)
        except (OSError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"expected a Ray cluster at {address!r}, got: {reason}; start one with ray start --head, or choose "
                f"--ray {LOCAL}"
            ) from error
    try:
        yield
    finally:
        ray.shutdown()


def resolve_device(device: str) -> str:
    """Return "cpu" or "cuda" for the workers of the cluster; "auto" is "cuda" where the cluster has GPUs.

    Raises
    ------
    ConfigError
        A GPU is asked for by number, which Ray gives out, or the cluster has none.
    """
    has_gpus = _ray().cluster_resources().get("GPU", 0) >= 1
    if device == "auto":
        return "cuda" if has_gpus else "cpu"
    if device not in ("cpu", "cuda"):
        raise ConfigError(f"expected auto, cpu or cuda with Ray, got {device!r}; Ray chooses the GPU of each worker")
    if device == "cuda" and not has_gpus:
        raise ConfigError(
            "expected a cluster with GPUs for the device cuda, Ray knows of none; start its machines with "
            "ray start --num-gpus, or choose cpu"
        )
    return device


def resolve_cores(device: str) -> int:
    """Return how many cores a worker gets: one, or with GPUs all that there are for each of them, for decoding."""
    resources = _ray().cluster_resources()
    return max(1, int(resources.get("CPU", 1) // resources.get("GPU", 1))) if device == "cuda" else 1


def resolve_workers(workers: int | None, device: str) -> int:
    """Return how many workers the cluster gets: by default one for each of its GPUs, or CPUs where they use none."""
    return workers or max(1, int(_ray().cluster_resources().get("GPU" if device == "cuda" else "CPU", 1)))


class Actors:
    """Where the workers of a run on a cluster come from; to be closed.

    Parameters
    ----------
    model : Path
        Read once and sent to the machines.
    device : str
        "cpu" or "cuda"; for the latter each worker is given one GPU.
    folder : Path
        Of the archive; every machine must see it under this name.
    settings : ArchiveSettings
    cores : int
        Of each worker; its threads that decode ahead of the network.
    """

    def __init__(self, model: Path, device: str, folder: Path | str, settings: ArchiveSettings, cores: int = 1) -> None:
        ray = _ray()
        self._arguments = (ray.put(model.read_bytes()), device, folder, settings, cores)
        # No restarts and retries of Ray's: what becomes of a shard is decided in one place.
        self._actor = ray.remote(Actor).options(
            num_cpus=cores, num_gpus=1 if device == "cuda" else 0, max_restarts=0, max_task_retries=0
        )
        self._key = os.urandom(32)
        self._listener = Listener((ray.util.get_node_ip_address(), 0), "AF_INET", backlog=128)
        self._called: dict[int, Connection] = {}
        self._n_hired = 0
        self._closed = False
        self._answering = threading.Thread(target=self._answer, daemon=True)
        self._answering.start()

    def hire(self) -> RemoteWorker:
        """Ask for a worker; it has a connection once the cluster has found room for it."""
        number = self._n_hired
        self._n_hired += 1
        actor = self._actor.remote()
        reference = actor.work.remote((self._listener.address, self._key, number), *self._arguments)
        return RemoteWorker(actor, reference, number, self._called)

    def close(self) -> None:
        """Take no more calls, and end those that are left."""
        self._closed = True
        # The thread that waits for calls would hold the port as long as nobody calls.
        with contextlib.suppress(OSError):
            socket.create_connection(self._listener.address, CONNECT_S).close()
        self._answering.join(CONNECT_S)
        self._listener.close()
        for connection in list(self._called.values()):
            connection.close()

    def _answer(self) -> None:
        while True:
            try:
                connection = self._listener.accept()
            except OSError:
                return
            if self._closed:
                connection.close()
                return
            # Whoever calls and then says nothing keeps nobody else waiting.
            threading.Thread(target=self._admit, args=(connection,), daemon=True).start()

    def _admit(self, connection: Connection) -> None:
        try:
            _watch(connection)
            deliver_challenge(connection, self._key)
            answer_challenge(connection, self._key)
            self._called[connection.recv()] = connection
        except Exception:  # noqa: BLE001 - a stranger, or a worker that is gone again: Ray tells of the latter
            connection.close()


class RemoteWorker:
    """An actor; see ``engine.archive.supervisor.Worker``."""

    def __init__(self, actor: Any, reference: Any, number: int, called: dict[int, Connection]) -> None:
        self._actor = actor
        self._reference = reference
        self._number = number
        self._called = called

    @property
    def connection(self) -> Connection | None:
        """To the actor; None before it has called."""
        return self._called.get(self._number)

    @property
    def handles(self) -> list[Any]:
        """What becomes ready when there is something to hear of the worker."""
        return [] if self.connection is None else [self.connection]

    def is_alive(self) -> bool:
        """Return whether Ray thinks so."""
        return not self._has_ended(0)

    def join(self, timeout_s: float) -> None:
        """Wait until the worker has ended, but no longer than this."""
        self._has_ended(timeout_s)

    def kill(self) -> None:
        """End the worker by force, also one that waits for room."""
        _ray().kill(self._actor, no_restart=True)

    def cause(self) -> str:
        """Return how a worker ended, and see that it does: a machine that is cut off may still be at work.

        Raises
        ------
        ArchiveError
            The cluster cannot run workers at all: an error in Python before there was a connection.
        """
        cause = "its connection ended"
        if self._has_ended(CAUSE_S):
            ray = _ray()
            try:
                ray.get(self._reference)
            except ray.exceptions.RayTaskError as error:
                raise ArchiveError(
                    "expected a worker on the cluster to start, it failed; sound-engine must be installed on every "
                    f"machine in this version, and each must reach {socket.gethostname()}:\n{error}"
                ) from error
            except ray.exceptions.RayError as error:
                cause = str(error).strip().splitlines()[0].rstrip(".")
        self.kill()
        return cause

    def _has_ended(self, timeout_s: float) -> bool:
        return bool(_ray().wait([self._reference], timeout=timeout_s)[0])


class Actor:
    """What runs in the cluster; the model is opened once in its life."""

    def work(
        self,
        call: tuple[tuple[str, int], bytes, int],
        model: bytes,
        device: str,
        folder: Path | str,
        settings: ArchiveSettings,
        decoders: int,
    ) -> None:
        """Call the run and do the shards that come back, until it says that there are no more, or is gone."""
        address, key, number = call
        connection = Client(address, "AF_INET", authkey=key)
        _watch(connection)
        connection.send(number)
        keep_freed_memory()
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "model.onnx"
            path.write_bytes(model)
            work(connection, path, device, folder, settings, decoders)


def _watch(connection: Connection) -> None:
    """Let a connection end when the machine at its other end is gone without a word."""
    with socket.socket(fileno=os.dup(connection.fileno())) as shared:
        shared.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", IDLE_S), ("TCP_KEEPINTVL", EVERY_S), ("TCP_KEEPCNT", PROBES)):
            if hasattr(socket, name):
                shared.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


@contextlib.contextmanager
def _kept_signals() -> Iterator[None]:
    """Undo what ``ray.init`` does to the signals of this process; a thread that is not the main one has none."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


def _ray() -> Any:
    """Return the package; a ConfigError with the line that installs it where it is missing."""
    # Read when Ray is imported: it would tell its makers of every cluster that is started.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        import ray.exceptions
        import ray.util
    except ImportError as error:
        raise ConfigError(
            "expected the package ray, which several machines are run with; pip install 'sound-engine[distributed]'"
        ) from error
    return ray
