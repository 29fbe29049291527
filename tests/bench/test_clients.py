"""Threads that share one model."""

from __future__ import annotations

import threading
import time

import pytest

from engine.bench.clients import Clients
from tests.bench.rows import row


def test_all_clients_call_at_the_same_time():
    meeting = threading.Barrier(4)
    (seconds,) = Clients(lambda: meeting.wait(timeout=10), 4).repeat(3)
    assert len(seconds) == 12


def test_no_client_is_idle_while_calls_are_left():
    callers = []
    served_slowly = threading.local()

    def work():
        callers.append(threading.get_ident())
        if not hasattr(served_slowly, "yes"):
            served_slowly.yes = len(set(callers)) == 1
        time.sleep(0.05 if served_slowly.yes else 0.002)

    (seconds,) = Clients(work, 2).repeat(10)
    assert len(seconds) == len(callers) == 20
    first, second = (callers.count(caller) for caller in dict.fromkeys(callers))
    assert first < second / 2


def test_an_error_of_a_client_is_raised():
    def fail():
        raise ValueError("made up")

    with pytest.raises(ValueError, match="made up"):
        Clients(fail, 2).repeat(1)


@pytest.mark.parametrize("count", [1, 4])
def test_throughput_is_what_the_clock_on_the_wall_says(count):
    one_at_a_time = threading.Lock()

    def work():
        with one_at_a_time:
            time.sleep(0.005)

    begin = time.perf_counter()
    (seconds,) = Clients(work, count).repeat(100 // count)
    elapsed = time.perf_counter() - begin
    measured = row("clients", [[1e3 * second for second in seconds]], count=count)
    assert measured.clips_per_s == pytest.approx(100 / elapsed, rel=0.15)
    assert measured.x_real_time == pytest.approx(10 * measured.clips_per_s)
