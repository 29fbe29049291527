"""A piece of work ahead: in order, at the same time as its caller, and over when it is closed."""

from __future__ import annotations

import threading

import pytest

from engine.ahead import Ahead

SOON_S = 10


def device_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("engine-device")]


def test_results_come_one_late_and_in_order():
    ahead = Ahead()
    got = [ahead.put(lambda i=i: i) for i in range(20)]
    assert got == [None, *range(19)]
    assert ahead.busy
    assert ahead.last() == 19
    assert not ahead.busy
    assert ahead.last() is None
    ahead.close()


def test_the_caller_goes_on_meanwhile():
    ahead = Ahead()
    prepared = threading.Event()
    assert ahead.put(lambda: prepared.wait(SOON_S)) is None
    prepared.set()  # here, while the work waits for it
    assert ahead.last() is True
    ahead.close()


def test_one_piece_runs_at_a_time():
    ahead, running, most = Ahead(), [0], [0]
    lock = threading.Lock()

    def work():
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.001)
        with lock:
            running[0] -= 1

    for _ in range(20):
        ahead.put(work)
    ahead.last()
    ahead.close()
    assert most == [1]


def test_an_error_reaches_the_caller_once():
    ahead = Ahead()
    ahead.put(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        ahead.put(lambda: "next")
    assert ahead.last() == "next"
    ahead.put(lambda: 1 // 0)
    with pytest.raises(ZeroDivisionError):
        ahead.last()
    assert ahead.last() is None
    ahead.close()


def test_closing_waits_for_what_has_begun_and_leaves_the_rest():
    ahead, begun, done = Ahead(), threading.Event(), []

    def slow():
        begun.set()
        threading.Event().wait(0.05)
        done.append("slow")

    ahead.put(slow)
    assert begun.wait(SOON_S)
    ahead._pending = ahead._thread.submit(done.append, "never")
    ahead.close()
    assert done == ["slow"]
    assert device_threads() == []
    ahead.close()


def test_without_work_there_is_no_thread():
    ahead = Ahead()
    assert ahead.last() is None
    assert device_threads() == []
    ahead.close()
