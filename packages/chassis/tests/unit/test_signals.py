"""Parts that run and stop together, in a process of their own."""

import subprocess
import sys

CODE = """
import os, signal, threading, time
from chassis.signals import run_together

class Part:
    def __init__(self, does):
        self.does, self.stopping = does, threading.Event()

    def run(self):
        self.does()
        assert self.stopping.wait(10)
        print("drained", flush=True)

    def stop(self):
        self.stopping.set()

def fail():
    time.sleep(0.5)  # long enough for the main thread to wait for the others
    raise RuntimeError("a bug")

def signal_process():
    os.kill(os.getpid(), signal.SIGTERM)

run_together([Part(lambda: None), Part(%s)])
print("end")
"""


def run(does: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", CODE % does]
    return subprocess.run(words, capture_output=True, text=True, timeout=30)


def test_a_signal_stops_all() -> None:
    done = run("signal_process")
    assert (done.returncode, done.stdout) == (0, "drained\ndrained\nend\n"), done.stderr


def test_all_stop_when_one_fails() -> None:
    done = run("fail")
    assert (done.returncode, done.stdout) == (1, "drained\n")
    assert "RuntimeError: a bug" in done.stderr
