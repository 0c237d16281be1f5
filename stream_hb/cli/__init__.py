"""The command line: one small file a command, each importing what it needs when it is called."""

import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer
from typer.main import get_command

from stream_hb import __version__
from stream_hb.cli import (
    accept,
    check,
    convert,
    demo,
    fit,
    migrate,
    replay,
    run,
    schema,
    send_alerts,
    show,
    topics,
)
from stream_hb.errors import StreamHBError

_EPILOG = """\b
Results go to standard output, progress and errors to standard error.
Exit codes:
  0    done
  1    failed
  2    wrong usage or configuration
  3    no broker answers, or it refuses the credentials
  4    a topic is missing or has the wrong shape
  5    events or the state are lost (run --accept-loss)
  6    another process holds the worker's slot
  130  interrupted

Example: stream-hb demo
"""

app = typer.Typer(
    name="stream-hb",
    help="Partial pooling on live streams: events in, shrunk estimates out.",
    epilog=_EPILOG,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(epilog=demo.EXAMPLES)(demo.demo)
app.command(epilog=run.EXAMPLES)(run.run)
app.command(epilog=replay.EXAMPLES)(replay.replay)
app.command(epilog=convert.EXAMPLES)(convert.convert)
app.command(epilog=fit.EXAMPLES)(fit.fit)
app.command(epilog=check.EXAMPLES)(check.check)
app.command(epilog=topics.EXAMPLES)(topics.topics)
app.command(epilog=migrate.EXAMPLES)(migrate.migrate)
app.command(epilog=show.EXAMPLES)(show.show)
app.command(epilog=accept.EXAMPLES)(accept.accept)
app.command("send-alerts", epilog=send_alerts.EXAMPLES)(send_alerts.send_alerts)
app.command(epilog=schema.EXAMPLES)(schema.schema)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"stream-hb {__version__}")
        raise typer.Exit


@app.callback()
def _before_the_command(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None: ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; an error is a line or two, never a traceback.

    >>> main(["--version"])
    stream-hb ...
    0
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that the terminal cannot write is no bug
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        # Without standalone mode typer hands its errors over instead of printing boxes.
        code = get_command(app).main(given or ["--help"], "stream-hb", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has gone (`| head`): nothing is left to say to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (StreamHBError, typer.TyperException) as error:
        return _tell(error)
    except Exception as error:
        return _tell_internal(error)


def _tell(error: StreamHBError | typer.TyperException) -> int:
    message = error.format_message() if isinstance(error, typer.TyperException) else str(error)
    print(f"error: {message}", file=sys.stderr)
    context = getattr(error, "ctx", None)
    if context is not None:
        print(f"see: {context.command_path} --help", file=sys.stderr)
    return error.exit_code


def _tell_internal(error: Exception) -> int:
    if os.environ.get("STREAM_HB_DEBUG"):
        traceback.print_exc()
    kind = type(error).__name__
    print(f"internal error: {kind}: {str(error).partition(chr(10))[0]}", file=sys.stderr)
    print("this is a bug: STREAM_HB_DEBUG=1 before the command shows where", file=sys.stderr)
    return 1
