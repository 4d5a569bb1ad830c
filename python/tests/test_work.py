"""Threads, Ctrl-C, progress, and what a call costs."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import gdcert

SWEEP = {"N": 3, "n": 6, "D": 12, "d": 6, "H": 4, "seeds": {"from": 0, "to": 99999}, "steps": 100000}


def test_two_threads_at_once(inst):
    alone = gdcert.verify(inst).to_dict()
    found, errors = [], []

    def work():
        try:
            for _ in range(3):
                found.append(gdcert.verify(inst).to_dict())
                gdcert.certify(inst, tail=True)
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and found == [alone] * 6


def test_the_lock_is_released_meanwhile():
    seen = []
    stop = threading.Event()

    def count():
        while not stop.wait(0.01):
            seen.append(time.monotonic())

    thread = threading.Thread(target=count)
    thread.start()
    start = time.monotonic()
    gdcert.sweep({**SWEEP, "seeds": {"from": 0, "to": 3}, "steps": 500})
    took = time.monotonic() - start
    stop.set()
    thread.join()
    assert len(seen) > took / 0.5, (len(seen), took)


@pytest.mark.skipif(os.name == "nt", reason="sends SIGINT")
@pytest.mark.parametrize("call", ["gdcert.sweep(SWEEP)", "gdcert.sweep(SWEEP, threads=2)", "gdcert.verify(inst, steps=10**7)"])
def test_ctrl_c_within_a_second(call):
    program = f"""
import gdcert, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
SWEEP = {SWEEP}
inst = gdcert.Instance.random(N=3, n=6, D=12, d=6, H=4)
print("ready", flush=True)
try:
    {call}
except KeyboardInterrupt:
    print("interrupted", time.monotonic(), flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "ready\n"
        time.sleep(1.0)
        sent = time.monotonic()
        process.send_signal(signal.SIGINT)
        words = process.stdout.readline().split()
        assert words[0] == "interrupted" and float(words[1]) - sent < 1.0, words
        assert process.wait(10) == 0
    finally:
        process.kill()


def test_progress_is_told_and_may_stop_the_work(capfd):
    told = []
    settings = {**SWEEP, "seeds": {"from": 0, "to": 19}, "steps": 300, "certify": False}
    table = gdcert.sweep(settings, progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (20, 20) and told == sorted(told) and len(table) == 20

    class Enough(Exception):
        pass

    def enough(done, total):
        raise Enough

    with pytest.raises(Enough):
        gdcert.sweep(SWEEP, progress=enough)
    assert capfd.readouterr().err == ""
    gdcert.sweep(settings, progress=True)
    assert "trials" in capfd.readouterr().err
    gdcert.sweep(settings, progress=False)
    assert capfd.readouterr().err == ""


def forked(queue):
    queue.put(gdcert.verify(gdcert.Instance.random(N=2, n=4, D=8, d=4, H=3), steps=10).verdict)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_works_too(inst):
    gdcert.verify(inst, steps=10)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=forked, args=(queue,))
    process.start()
    assert queue.get(timeout=30) == "held"
    process.join()


def test_a_small_call_costs_little(inst):
    """Beside what the same call takes in Rust, which is what more of the same work adds."""
    small = gdcert.Instance.random(N=1, n=1, D=1, d=1, H=1)

    def seconds(call):
        best = []
        for _ in range(200):
            start = time.perf_counter()
            call()
            best.append(time.perf_counter() - start)
        return min(best)

    assert seconds(lambda: gdcert.verify(small, steps=1, certify=False)) < 1e-3
