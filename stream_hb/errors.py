"""Every error stream_hb raises on purpose: one or two lines that say what to do, and an exit code.

Exit codes of the commands: 0 done, 1 failed, 2 wrong usage or configuration, 3 no broker answers
or it refuses the credentials, 4 a topic is missing or has the wrong shape, 5 events or the state
are lost, 6 another process holds the worker's slot.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class StreamHBError(Exception):
    """Something went wrong that the user can understand; ``exit_code`` is the command's answer."""

    exit_code: ClassVar[int] = 1


class UsageError(StreamHBError):
    """A command was called with values that it cannot take."""

    exit_code = 2


class ConfigError(StreamHBError):
    """The configuration is wrong; ``problems`` holds every fault, each with its path.

    >>> print(ConfigError("chain.yaml", ["is empty"]))
    chain.yaml: is empty
    """

    exit_code = 2

    def __init__(self, source: str, problems: Iterable[str]) -> None:
        self.source = source
        self.problems = tuple(problems)
        first = f"{len(self.problems)} problems\n" if len(self.problems) > 1 else ""
        super().__init__(f"{source}: {first}" + "\n".join(self.problems))


class TableError(StreamHBError):
    """A table given to ``fit`` has a row that no model can take; names the row."""

    exit_code = 2


class BrokerError(StreamHBError):
    """No Kafka broker answers at the address, or it refuses the credentials."""

    exit_code = 3


class TopicError(StreamHBError):
    """A topic is missing, or its partitions do not match."""

    exit_code = 4


class LostError(StreamHBError):
    """Events or the state are gone from the broker: a person decides (``--accept-loss``)."""

    exit_code = 5


class SlotError(StreamHBError):
    """Another process holds the worker's slot."""

    exit_code = 6


class SnapshotError(StreamHBError):
    """A snapshot does not belong to this configuration or version."""


class MigrationError(StreamHBError):
    """A state cannot be moved to other partitions; nothing was written."""


class RecordError(StreamHBError):
    """A message of an output topic is not a record that this program can read."""


class FitError(StreamHBError):
    """A model was asked for what it cannot compute."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint with the nearest known name, or the list of what is known.

    >>> nearest("refti", ["refit", "kafka"])
    "did you mean 'refit'?"
    >>> nearest("zzz", ["refit", "kafka"])
    'known: kafka, refit'
    """
    names = sorted(known)
    close = get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(names)
