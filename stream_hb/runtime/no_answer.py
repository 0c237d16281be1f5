"""Why no broker answered: what the client heard while it asked."""

from confluent_kafka import KafkaError

from stream_hb.errors import BrokerError

_REFUSALS = {KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED}


class Heard:
    """Takes a client's errors (as its ``error_cb``) and says in the end what they meant.

    Attributes
    ----------
    last
        What was said last; that all brokers are down only where nothing says why.
    refused
        The broker's words where it refuses the credentials; waiting does not help then.
    """

    def __init__(self) -> None:
        self.last = ""
        self.refused = ""

    def __call__(self, error: KafkaError) -> None:
        """Take an error."""
        if error.code() in _REFUSALS:
            self.refused = error.str()
        if error.code() != KafkaError._ALL_BROKERS_DOWN or not self.last:
            self.last = error.str()

    def error(self, servers: str, seconds: float) -> BrokerError:
        """Return the error to raise when nothing came of asking for so long."""
        if self.refused:
            return BrokerError(
                f"the Kafka broker at {servers} refuses the credentials: {self.refused}\n"
                "Are the sasl.… settings of kafka.client right?"
            )
        why = f": {self.last}" if self.last else ""
        return BrokerError(
            f"no Kafka broker answers at {servers} within {seconds:g} s{why}\n"
            "Is it running, and is kafka.bootstrap_servers right?"
        )
