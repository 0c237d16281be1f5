"""``stream-hb schema``: the JSON Schemas of what comes in, goes out and configures."""

from typing import Annotated, Any

import typer

from stream_hb.cli.output import print_json
from stream_hb.errors import UsageError, nearest

EXAMPLES = "Example: stream-hb schema event > event.json"


def schema(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="event, control, estimate, alert, calibration, experiment, refit, reject, config.",
            show_default=False,
        ),
    ],
) -> None:
    """Print the JSON Schema of events, records or configuration."""
    if name == "config":
        from stream_hb.config import Config

        print_json(Config.model_json_schema())
    else:
        print_json(_packaged(name))


def _packaged(name: str) -> Any:
    import json
    from importlib.resources import files

    folder = files("stream_hb") / "schemas"
    found = {file.name.removesuffix("_v1.json"): file for file in folder.iterdir()}
    known = ["config", *sorted(found)]
    if name in found:
        return json.loads(found[name].read_text(encoding="utf-8"))
    raise UsageError(f"no schema {name!r}; {nearest(name, known)}")
