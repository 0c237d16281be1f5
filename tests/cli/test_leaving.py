"""A process that is told to end, as a process."""

import signal
import subprocess
import sys
from threading import Event

import pytest

from stream_hb.cli.leaving import stopped_by_signals

STARTS = """
import hashlib, os, signal
from threading import Event
from stream_hb.cli.leaving import stopped_by_signals
stop = Event()
with stopped_by_signals(stop, {seconds}):
    print("ready", flush=True)
    {does}
    print("done")
"""


def ended(does: str, number: signal.Signals, seconds: float = 0.2) -> tuple[int, str]:
    """Let a process do something, and send it a signal; return its exit code and what it said."""
    with subprocess.Popen(
        [sys.executable, "-c", STARTS.format(seconds=seconds, does=does)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        said, _ = process.communicate(timeout=120)
    return process.returncode, said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_process_that_goes_on_stepping_ends_by_itself(number: signal.Signals) -> None:
    assert ended("stop.wait(40)", number, seconds=50) == (0, "done\n")


def test_a_process_in_a_call_that_nothing_interrupts_ends_all_the_same() -> None:
    """Wrong before: its handler ran only after the call, and then came the next one."""
    code, said = ended("hashlib.pbkdf2_hmac('sha256', b'a', b'b', 40_000_000)", signal.SIGTERM)
    assert code == 0
    assert "left in the middle" in said
    assert "done" not in said


def test_other_signals_end_nothing() -> None:
    does = (
        "signal.signal(signal.SIGUSR1, lambda *_: None); os.kill(os.getpid(), signal.SIGUSR1); "
        "print(stop.wait(0.5)); stop.wait(40)"
    )
    source = STARTS.format(seconds=0.2, does=does.replace("stop.wait(40)", "pass"))
    ran = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["ready", "False", "done"]


def test_afterwards_signals_mean_what_they_meant() -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with stopped_by_signals(Event()):
        assert signal.getsignal(signal.SIGTERM) is not before[0]
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
