"""Where librdkafka's own log lines go."""

import logging

_log = logging.getLogger("stream_hb.librdkafka")


class QuietLog:
    """Takes librdkafka's lines as details: what matters of them comes as an error or a trouble.

    Without a broker there are ten lines a second, each of them an error to librdkafka.
    """

    def log(self, _level: int, template: str, *values: object) -> None:
        """Log a line, whatever librdkafka thinks of its weight."""
        _log.debug(template, *values)
