"""Run a command in this process, as the console script would."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, NamedTuple
from unittest.mock import patch

from stream_hb.cli import main


class Ran(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The result, read as strictly as JSON is: no NaN, no Infinity."""
        return json.loads(self.out, parse_constant=_not_json)


def run(*arguments: str, stdin: str | bytes = "") -> Ran:
    """Run ``stream-hb ARGUMENTS`` with ``stdin`` on standard input."""
    content = stdin.encode() if isinstance(stdin, str) else stdin
    out, err = io.StringIO(), io.StringIO()
    with (
        patch("sys.stdin", io.TextIOWrapper(io.BytesIO(content))),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        code = main(arguments)
    return Ran(code, out.getvalue(), err.getvalue())


def _not_json(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")
