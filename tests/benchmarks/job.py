"""What one measured client is told, and how it answers: JSON, so that clients of any make can."""

import json
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Thread, Timer
from types import TracebackType
from typing import Any, NoReturn, Self

QUIX_PYTHON = Path(".venv-quix/bin/python")


class NotMeasuredError(Exception):
    """A client failed, or was not done in its time."""


Result = dict[str, Any]
"""``cpu`` and ``wall`` seconds, and what else the client knows."""


@dataclass(frozen=True, slots=True)
class Job:
    """One measurement.

    Attributes
    ----------
    mode
        Which client.
    bootstrap, topic, partitions
        What it reads.
    count
        After how many events it ends.
    run
        A name that no other run has: for its group and its topics.
    live
        Whether the topic is filled only after the client is ready, and time counts from then.
    slot
        Which of a group's workers it is.
    seconds_max
        When it is given up.
    folder
        Of the snapshots; empty: there are none.
    cpu_clock
        Whether the worker's clock goes with its CPU time.
    """

    mode: str
    bootstrap: str
    topic: str
    partitions: int
    count: int
    run: str
    live: bool = False
    slot: int = 0
    seconds_max: float = 600.0
    folder: str = ""
    cpu_clock: bool = False

    @property
    def command(self) -> list[str]:
        """The client's command line."""
        python, module = sys.executable, "tests.benchmarks.client"
        if self.mode.startswith("quix"):
            python, module = str(QUIX_PYTHON), "tests.benchmarks.quix_client"
        return [python, "-m", module, json.dumps(asdict(self))]


class Client:
    """A client in a process of its own; ended with the block, whatever happens.

    Attributes
    ----------
    newest
        What it said last, where it is followed; None: nothing yet.
    """

    def __init__(self, job: Job) -> None:
        self.newest: Result | None = None
        self._job = job

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._job.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._timer = Timer(self._job.seconds_max, self._process.kill)
        self._timer.start()
        return self

    def wait_until_ready(self) -> None:
        """Return when it says that it reads."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line == "ready\n":
                return
        self._fail(self._process.communicate()[1])

    def follow(self) -> None:
        """Keep the newest of what it says from now on."""
        Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.newest = json.loads(line)

    def result(self) -> Result:
        """Wait for its end."""
        out, errors = self._process.communicate()
        if self._process.returncode:
            self._fail(errors)
        result: Result = json.loads(out.splitlines()[-1])
        return result

    def _fail(self, errors: str) -> NoReturn:
        if self._process.returncode == -signal.SIGKILL:
            errors = f"not done after {self._job.seconds_max:.0f} s"
        raise NotMeasuredError(f"{self._job.mode}: {errors[-4000:]}")

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self._process.kill()
        self._process.wait()


def measured(job: Job) -> Result:
    """Run a client to its end."""
    with Client(job) as client:
        return client.result()
