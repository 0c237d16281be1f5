"""Prints the table of faults when all are through."""

import pytest

from tests.faults.table import rows, table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if rows:
        terminalreporter.section("faults")
        for line in table():
            terminalreporter.write_line(line)
