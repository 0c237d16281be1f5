"""Behind a door with a password: the worker works, and neither secret nor payload is ever said."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml

from tests.runtime.test_run import complete
from tests.support.broker import SASL_PASSWORD, SASL_USER, NamedBroker, RealBroker
from tests.support.chain import PARTITIONS, Chain, run, terminate
from tests.support.logs import START_MS, purchase, visit

pytestmark = pytest.mark.broker

MARK = "the-payload-of-somebody"
WRONG = "hunter2-misspelt"
PASSWORD = "STREAM_HB__KAFKA__CLIENT__SASL_PASSWORD"


@pytest.fixture
def chain(broker: RealBroker | NamedBroker, topics: Callable[..., str], tmp_path: Path) -> Chain:
    """A chain whose configuration goes through the door; the tests themselves do not."""
    if isinstance(broker, NamedBroker):
        pytest.skip("the broker that STREAM_HB_TEST_BOOTSTRAP names has no door with a password")
    made = Chain(
        broker.bootstrap_servers,
        visits=topics(partitions=PARTITIONS),
        purchases=topics(partitions=PARTITIONS),
        estimates=topics(partitions=PARTITIONS, cleanup_policy="compact"),
        rejects=topics(),
        state=topics(partitions=PARTITIONS, cleanup_policy="compact"),
        summaries=topics(partitions=PARTITIONS, cleanup_policy="compact"),
        hyper=topics(cleanup_policy="compact"),
        config=tmp_path / "chain.yaml",
    )
    made.configure()
    content = yaml.safe_load(made.config.read_text())
    content["kafka"]["bootstrap_servers"] = broker.sasl_servers
    content["kafka"]["client"] |= {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": SASL_USER,
        "sasl.password_file": "password",
    }
    made.config.write_text(yaml.safe_dump({**content, "http": {"port": 0}}))
    made.config.with_name("password").write_text(SASL_PASSWORD + "\n")
    return made


@pytest.fixture
def worker(chain: Chain) -> Iterator[subprocess.Popen[bytes]]:
    started = chain.start()
    yield started
    started.kill()
    started.wait()


def marked() -> list[bytes]:
    """Return events and no events, all with the mark where only its sender should see it."""
    store = f"s-{MARK}"
    sold = purchase(store, f"o-{MARK}", START_MS, "north", 500, visit_id=f"v-{MARK}")
    return [
        visit(store, f"v-{MARK}", START_MS, "north"),
        sold,
        f"no event but {MARK}".encode(),
        f'{{"schema_version": 1, "event_type": "{MARK}", "store_id": "s1"}}'.encode(),
        sold.replace(b"500", b"-1"),
    ]


def test_neither_a_secret_nor_a_payload_is_ever_said(
    chain: Chain, worker: subprocess.Popen[bytes]
) -> None:
    chain.feed(marked())
    chain.settled(complete(1))
    at = re.search(r"http://127\.0\.0\.1:\d+", chain.said())
    assert at
    answers = []
    for path in ("metrics", "live", "ready"):
        with urlopen(f"{at[0]}/{path}", timeout=10) as answer:
            answers.append(answer.read().decode())
    assert len(chain.rejected()) == 3
    assert 'stream_hb_rejects_total{reason="not_json"} 1.0' in answers[0]
    terminate(worker)
    asked = [run(name, str(chain.config), *more) for name, *more in _COMMANDS]
    assert [each.returncode for each in asked] == [0] * len(_COMMANDS)
    said = "\n".join([chain.said(), *answers, *(each.stdout + each.stderr for each in asked)])
    assert "sasl.password: '**********'" in said
    assert said.count(SASL_USER) == 2, "not a secret: check says it"
    for hidden in (SASL_PASSWORD, MARK):
        assert hidden not in said


_COMMANDS = [("check", "--broker"), ("check", "--json"), ("topics",)]


@pytest.mark.parametrize("name", ["run", "topics", "show"])
def test_a_wrong_password_is_an_error_that_says_so_and_not_what_it_was(
    chain: Chain, name: str
) -> None:
    ran = run(name, str(chain.config), **{PASSWORD: WRONG})
    assert ran.returncode == 3
    assert "refuses the credentials" in ran.stderr
    assert "Invalid username or password" in ran.stderr
    assert ran.stderr.count("\n") <= 2, ran.stderr
    assert WRONG not in ran.stdout + ran.stderr


def test_a_secret_that_the_client_cannot_read_is_not_said(chain: Chain) -> None:
    environment = {"STREAM_HB__KAFKA__CLIENT__SSL_KEY_PEM": WRONG}
    ran = run(
        "run",
        str(chain.config),
        **environment,
        STREAM_HB__KAFKA__CLIENT__SECURITY_PROTOCOL="SASL_SSL",
    )
    assert ran.returncode == 2
    assert "ssl.key.pem" in ran.stderr
    assert WRONG not in ran.stdout + ran.stderr
