"""Logs: to standard error, one line an event; without payloads, without secrets."""

import logging
import sys


def configure_logs(*, quiet: bool = False) -> None:
    """Send our logs and the Kafka client's to standard error; ``quiet`` keeps errors only."""
    import structlog

    level = logging.ERROR if quiet else logging.INFO
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(stream=sys.stderr, level=max(level, logging.WARNING), format="%(message)s")
