"""Workers that are forked from a process which has imported everything: a start costs no import.

``python -m tests.faults.nursery`` takes requests, a JSON line each, and answers with one. A child
runs the command line of ``stream-hb`` (:func:`stream_hb.cli.main`) in a process of its own, after
the hooks that the request names; it dies with its nursery. Nothing of Kafka is made before a fork:
its client's threads would not live on in the child.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

ROOT = Path(__file__).parents[2]
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class Nursery:
    """The process that forks workers; to be closed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
            text=True,
        )

    def ask(self, **request: Any) -> Any:
        """Send a request and return the answer."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests
        assert answers
        with self._lock:
            requests.write(json.dumps(request) + "\n")
            requests.flush()
            return json.loads(answers.readline())

    def start(
        self,
        arguments: Sequence[str],
        log: Path,
        environment: Mapping[str, str] | None = None,
        **hooks: Any,
    ) -> "Child":
        """Start ``stream-hb ARGUMENTS``; hooks are functions of :mod:`tests.faults.hooks`."""
        pid = self.ask(
            arguments=list(arguments),
            log=str(log),
            environment=dict(environment or {}),
            hooks=hooks,
        )
        return Child(pid, self)

    def close(self) -> None:
        """End it, and its children with it."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


class Child:
    """A worker's process, as :class:`subprocess.Popen` has it."""

    def __init__(self, pid: int, nursery: Nursery) -> None:
        self.pid = pid
        self._nursery = nursery
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code, minus the signal that ended it; None while it runs."""
        if self._code is None:
            self._code = self._nursery.ask(poll=self.pid)
        return self._code

    def wait(self, seconds_max: float) -> int:
        """Wait for its end and return its exit code."""
        deadline = time.monotonic() + seconds_max
        while (code := self.poll()) is None:
            assert time.monotonic() < deadline, f"the worker runs on after {seconds_max} s"
            time.sleep(0.02)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, if it runs."""
        if self.poll() is None:
            os.kill(self.pid, number)

    @property
    def stands_still(self) -> bool:
        """Whether a signal has stopped it."""
        state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "T"

    def kill(self) -> None:
        """Kill it and wait for its end."""
        self.send_signal(signal.SIGKILL)
        self.wait(10)

    def terminate(self, *, starting: bool = False) -> float:
        """Ask it to stop, check that it did so cleanly, and return how long it took.

        ``starting``: it may not yet have come to where it listens to that, and then just ends.
        """
        asked_at = time.monotonic()
        self.send_signal(signal.SIGTERM)
        code = self.wait(60)
        assert code == 0 or (starting and code == -signal.SIGTERM), f"exit code {code}"
        return time.monotonic() - asked_at


def _answer(request: Mapping[str, Any]) -> Any:
    if "poll" in request:
        pid, status = os.waitpid(request["poll"], os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None
    pid = os.fork()
    if pid == 0:
        _be_a_worker(request)
    return pid


def _be_a_worker(request: Mapping[str, Any]) -> None:
    from stream_hb.cli import main
    from tests.faults import hooks

    code = 1
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
        log = os.open(request["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        for number in (1, 2):
            os.dup2(log, number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.environ.update(request["environment"])
        for name, options in request["hooks"].items():
            getattr(hooks, name)(*options)
        code = main(request["arguments"])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve() -> None:
    import tests.faults.hooks  # noqa: F401

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the test run's interrupt closes the pipe
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    _serve()
