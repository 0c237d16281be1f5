"""``stream-hb demo`` in a pipe: the real thing once, as fast as it goes."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.running import run

Ended = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def ended() -> Ended:
    """Run it in a process of its own: the logs' settings hold for a whole process."""
    command = [sys.executable, "-m", "stream_hb", "demo", "--rate", "100000"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_it_ends_by_itself_and_well(ended: Ended) -> None:
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_pipe_gets_no_colours(ended: Ended) -> None:
    assert "\x1b" not in ended.stdout + ended.stderr


def test_everything_fed_came_back_as_estimates(ended: Ended) -> None:
    assert "60287 of 60287 events, 160 groups" in ended.stdout


def test_the_table_has_what_comes_out(ended: Ended) -> None:
    for heading in ("raw", "pooled", "shrunk", "interval", "weight on pooled", "hyperparameters"):
        assert heading in ended.stdout


def test_two_sentences_say_what_pooling_changed(ended: Ended) -> None:
    moved = re.search(
        r"Pooling moved (\w+ / item-\d+) most: its (\d+) impressions alone say ([\d.]+)% click, "
        r"with its chain it is ([\d.]+)% \(95 % interval ([\d.]+)% to ([\d.]+)%\)\.\n",
        ended.stdout,
    )
    assert moved
    raw, shrunk, lo, hi = map(float, moved.groups()[2:])
    assert lo < shrunk < hi < raw
    scored = re.search(r"scored on the 18,000 impressions .*: (.*)\.\n", ended.stdout)
    assert scored
    scores = [score.split() for score in scored[1].split(", ")]
    by_name = {name: float(score) for score, name in scores}
    assert by_name.keys() == {"raw", "pooled", "shrunk"}
    assert by_name["raw"] < min(by_name["pooled"], by_name["shrunk"]) < 0


def test_it_says_what_the_feed_would_do_with_the_two_policies(ended: Ended) -> None:
    for chain in ("all", "men", "women"):
        assert re.search(
            rf"obd-policy / {chain}: hold\n"
            r"  srm: the arms' shares of units are off in \d+ stores\n",
            ended.stdout,
        )
    assert len(re.findall(r"random \(control\) +0\.5 +8,\d{3}", ended.stdout)) == 3
    assert "the items are the stores" in ended.stdout


def test_a_store_that_drifts_on_simulated_days_is_told_of_and_no_other(ended: Ended) -> None:
    assert "SIMULATED days" in ended.stdout
    told = re.search(
        r"Told after (\d+) such days \((\w+)\): its odds moved by -\d+ %", ended.stdout
    )
    assert told
    assert 1 <= int(told[1]) <= 9
    assert "Others told of: 0." in ended.stdout


def test_it_says_what_to_try_next(ended: Ended) -> None:
    assert "stream-hb fit --help" in ended.stdout


def test_feeding_needs_a_configuration_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    ran = run("demo", "--feed", str(path))
    assert ran == (2, "", f"error: {path}: cannot be read: No such file or directory\n")


def test_a_rate_of_nothing_is_refused() -> None:
    ran = run("demo", "--rate", "0")
    assert (ran.code, ran.out) == (2, "")
    assert "--rate" in ran.err
