"""``stream-hb send-alerts``: alerts to Alertmanager or a webhook."""

import os
from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = """\b
Examples:
  STREAM_HB__ALERT_SENDER__URL=http://127.0.0.1:9093 stream-hb send-alerts config/chain.yaml
  stream-hb send-alerts config/chain.yaml --until-done      # what there is, then end: for cron
"""


def send_alerts(
    config: Annotated[Path, typer.Argument(metavar="CONFIG", help="A YAML file.")],
    until_done: Annotated[
        bool, typer.Option("--until-done", help="End when all that the topic holds is sent.")
    ] = False,
) -> None:
    """Send the alerts of topics.alerts to alert_sender.url, until SIGTERM or SIGINT.

    Every state of an alert is tried until the receiver takes it, in order, and then not sent again;
    whoever is killed between an answer and its commit repeats that one request. Alertmanager is
    told of what is open once a minute. One sender at a time.
    """
    from threading import Event

    from stream_hb.cli.leaving import stopped_by_signals
    from stream_hb.cli.logs import configure_logs
    from stream_hb.config import load_config
    from stream_hb.runtime.sending import sending

    stop = Event()
    configure_logs()
    with stopped_by_signals(stop), sending(load_config(config, os.environ)) as sender:
        sender.run(stop, until_done=until_done)
