"""The command line as a whole: help, names, exit codes, what is printed where."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stream_hb.cli import app, schema
from stream_hb.errors import BrokerError, ConfigError, TopicError
from tests.cli.running import run

PROGRAM = (sys.executable, "-m", "stream_hb")
NAMES = sorted(
    command.name or command.callback.__name__
    for command in app.registered_commands
    if command.callback
)


def program(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        (*PROGRAM, *arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environ},
    )


def test_without_arguments_the_help_lists_every_command_and_exit_code() -> None:
    ran = run()
    assert (ran.code, ran.err) == (0, "")
    assert {"fit", "check", "topics", "schema"} <= set(NAMES)
    assert all(re.search(rf"^  {name} ", ran.out, re.MULTILINE) for name in NAMES)
    assert all(f"  {code}  " in ran.out for code in (0, 1, 2, 3, 4, 130))


@pytest.mark.parametrize("name", NAMES)
def test_every_commands_help_has_an_example(name: str) -> None:
    ran = run(name, "--help")
    assert ran.code == 0
    assert f"stream-hb {name}" in ran.out.partition("Example")[2]


def test_a_wrong_command_is_answered_with_the_nearest() -> None:
    assert run("topic") == (
        2,
        "",
        "error: No such command 'topic'. Did you mean 'topics'?\nsee: stream-hb --help\n",
    )


def test_a_wrong_option_is_answered_with_the_nearest() -> None:
    ran = run("check", "x.yaml", "--jsn")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        "error: No such option: --jsn (Possible options: --json)\nsee: stream-hb check --help\n"
    )


def test_a_missing_argument_is_wrong_usage() -> None:
    ran = run("check")
    assert ran.code == 2
    assert ran.err.startswith("error: Missing argument 'CONFIG'")


@pytest.mark.parametrize(
    ("error", "code"),
    [(ConfigError("c.yaml", ["bad"]), 2), (BrokerError("none"), 3), (TopicError("none"), 4)],
)
def test_an_error_of_ours_is_its_message_and_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def fails(_: object) -> None:
        raise error

    monkeypatch.setattr(schema, "_packaged", fails)
    assert run("schema", "event") == (code, "", f"error: {error}\n")


def test_an_unexpected_error_is_two_lines_and_its_traceback_for_those_who_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("first\nsecond")

    monkeypatch.setattr(schema, "_packaged", fails)
    ran = run("schema", "event")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == (
        "internal error: RuntimeError: first\n"
        "this is a bug: STREAM_HB_DEBUG=1 before the command shows where\n"
    )
    monkeypatch.setenv("STREAM_HB_DEBUG", "1")
    assert "Traceback" in run("schema", "event").err


def test_the_program_prints_its_version() -> None:
    done = program("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"stream-hb \d+\.\d+\.\d+\n", done.stdout)


def test_the_programs_errors_go_to_standard_error_without_colour() -> None:
    done = program("check", "nowhere.yaml", FORCE_COLOR="1")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: nowhere.yaml: cannot be read: No such file or directory\n"


def test_a_name_that_the_terminal_cannot_write_is_escaped() -> None:
    done = subprocess.run(
        (*PROGRAM, "fit", "-"),
        input="group,successes,trials\nKöln,1,20\n".encode(),
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 0
    assert rb"K\xf6ln" in done.stdout


def test_an_interrupt_ends_quietly_with_130(tmp_path: Path) -> None:
    pipe = tmp_path / "table.csv"
    os.mkfifo(pipe)
    # A job in a shell's background ignores interrupts, and so would what it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen((*PROGRAM, "fit", str(pipe)), stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    with pipe.open("w"):  # opens as soon as the program reads the other end
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "")


def test_a_reader_that_has_gone_is_no_error_to_talk_about(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    rows = "".join(f"{row},{row % 7},10\n" for row in range(5000))
    table.write_text("group,successes,trials\n" + rows, encoding="utf-8")
    for arguments in (("fit", str(table), "--json"), ("schema", "event")):
        process = subprocess.Popen(
            (*PROGRAM, *arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        with process.stderr:
            err = process.stderr.read()
        assert (process.wait(timeout=30), err) == (1, b"")


def test_the_help_imports_neither_numpy_nor_kafka() -> None:
    code = (
        "import sys; from stream_hb.cli import main; main(['--help']);"
        "print([m for m in ('numpy', 'scipy', 'confluent_kafka', 'pydantic', 'rich')"
        " if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
