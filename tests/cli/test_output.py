"""What is printed: tables whole in a pipe."""

import io

import pytest

from stream_hb.cli.output import new_table, print_table


def test_a_table_is_not_cut_off_in_a_pipe(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    table = new_table("group", "estimate")
    table.add_row("a very long name of a store", "0.123456789")
    print_table(table)
    assert "a very long name of a store   0.123456789" in capsys.readouterr().out


def test_nothing_is_coloured_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    table = new_table("group", "n")
    table.add_row("a", "1")
    print_table(table)
    assert "\x1b" not in out.getvalue()


def test_a_narrow_terminal_folds_names_and_leaves_numbers_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.StringIO()
    monkeypatch.setattr(out, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "20")
    table = new_table("group", "estimate", "sd")
    table.add_row("a very long name of a store", "0.123456789", "0.0123456789")
    print_table(table)
    assert "0.123456789   0.0123456789" in out.getvalue()
    assert "\n a very long    " in out.getvalue()
