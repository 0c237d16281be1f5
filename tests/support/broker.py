"""A real Kafka broker for the tests: named by the environment, or started here."""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException, Producer

START = Path(__file__).parents[2] / "deploy" / "kafka" / "start"
START_SECONDS_MAX = 120  # the first start on a machine also fetches the jars

# Runs the command as itself, so the process id is the broker's. The kernel ends it when the test
# run dies, however it dies (PR_SET_PDEATHSIG = 1); elsewhere than on Linux only atexit does.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
os.execv(sys.argv[1], sys.argv[1:])
"""


SASL_USER = "operator"
SASL_PASSWORD = "hunter2-of-the-broker"

# A second door, for who says who he is; a third, whose address is a proxy's that stands before it
# (nothing listens there but in the tests that put one there). All else goes through the first.
# And a cleaner that looks for something to compact at once, not every 15 s.
_MORE = f"""
listeners=PLAINTEXT://127.0.0.1:{{port}},SASL_PLAINTEXT://127.0.0.1:{{sasl_port}},\\
  PROXIED://127.0.0.1:{{behind_proxy_port}},CONTROLLER://127.0.0.1:{{controller_port}}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},SASL_PLAINTEXT://127.0.0.1:{{sasl_port}},\\
  PROXIED://127.0.0.1:{{proxy_port}}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,\\
  SASL_PLAINTEXT:SASL_PLAINTEXT
log.cleaner.backoff.ms=500
group.min.session.timeout.ms=1000
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_plaintext.plain.sasl.jaas.config=\\
  org.apache.kafka.common.security.plain.PlainLoginModule required \\
  user_{SASL_USER}="{SASL_PASSWORD}";
"""


class RealBroker:
    """One Apache Kafka on free ports and in a directory of its own, by the recipe of deploy/."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="stream_hb_kafka_"))
        ports = free_ports(5)
        self.port, self._controller_port, self._sasl_port, *proxied = ports
        self.proxy_port, self.behind_proxy_port = proxied
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.discard)

    @property
    def bootstrap_servers(self) -> str:
        """The address to give to clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def sasl_servers(self) -> str:
        """The address for clients with a password (SASL_PLAINTEXT, PLAIN)."""
        return f"127.0.0.1:{self._sasl_port}"

    @property
    def pid(self) -> int | None:
        """The process of the broker; None while none runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it, or start it again on the same ports and data, and wait until it answers."""
        self._process = self._spawn()
        wait_until_answering(self.bootstrap_servers, self._ended)

    def stop(self) -> None:
        """Ask it to stop and wait for it."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it as a power cut would, and keep its data."""
        self._end(signal.SIGKILL)

    def discard(self) -> None:
        """Kill it and forget its data."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)
        atexit.unregister(self.discard)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def _spawn(self) -> subprocess.Popen[bytes]:
        properties = self.directory / "more.properties"
        properties.write_text(
            _MORE.format(
                port=self.port,
                sasl_port=self._sasl_port,
                controller_port=self._controller_port,
                proxy_port=self.proxy_port,
                behind_proxy_port=self.behind_proxy_port,
            )
        )
        settings = {
            "KAFKA_PORT": str(self.port),
            "KAFKA_CONTROLLER_PORT": str(self._controller_port),
            "KAFKA_DIRECTORY": str(self.directory),
            "KAFKA_PROPERTIES": str(properties),
        }
        with (self.directory / "start.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", _DIE_WITH_PARENT, str(START)],
                env={**os.environ, **settings},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _ended(self) -> str | None:
        if self._process is None or self._process.poll() is None:
            return None
        return f"the broker ended while starting: {(self.directory / 'start.log').read_text()}"

    def _end(self, sign: signal.Signals) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        _signal_group(process, sign)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            _signal_group(process, signal.SIGKILL)
            process.wait()


class NamedBroker:
    """A broker that somebody else runs."""

    def __init__(self, bootstrap_servers: str) -> None:
        self.bootstrap_servers = bootstrap_servers


class NoBrokerError(Exception):
    """There is no broker to be had; the message is the reason in one line."""


def find_broker(running: ExitStack) -> RealBroker | NamedBroker:
    """Return the broker that the environment names, or one started here until the stack closes.

    Raises
    ------
    NoBrokerError
        If neither is possible.
    """
    named = os.environ.get("STREAM_HB_TEST_BOOTSTRAP")
    if named:
        wait_until_answering(named, lambda: None, seconds_max=10)
        return NamedBroker(named)
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if missing:
        raise NoBrokerError(
            "no real Kafka: STREAM_HB_TEST_BOOTSTRAP names none, and none can be started without "
            f"{' and '.join(missing)} (tests/README.md)"
        )
    return running.enter_context(RealBroker())


def wait_until_answering(
    bootstrap_servers: str,
    ended: Callable[[], str | None] = lambda: None,
    seconds_max: float = START_SECONDS_MAX,
) -> None:
    """Wait until a broker answers, also to a first transaction, which costs it a second or two."""
    deadline = time.monotonic() + seconds_max
    while not _listens(bootstrap_servers):
        if (reason := ended()) is not None:
            raise RuntimeError(reason)
        if time.monotonic() > deadline:
            raise NoBrokerError(f"no broker answers at {bootstrap_servers} within {seconds_max} s")
        time.sleep(0.05)
    _first_transaction(bootstrap_servers, deadline)


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on, all held at once so that they differ."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _listens(bootstrap_servers: str) -> bool:
    host, _, port = bootstrap_servers.split(",")[0].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def _first_transaction(bootstrap_servers: str, deadline: float) -> None:
    producer = Producer(
        {"bootstrap.servers": bootstrap_servers, "transactional.id": "warm-up", "log_level": 0}
    )
    while True:
        try:
            producer.init_transactions(5)
            return
        except KafkaException as error:
            if not error.args[0].retriable() or time.monotonic() > deadline:
                raise


def _signal_group(process: subprocess.Popen[bytes], sign: signal.Signals) -> None:
    """Reach the starting script's children as well; the group is the process's own."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, sign)
