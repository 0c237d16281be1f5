"""Which log of a state it is: a topic that is made again under the same name is another one."""

from dataclasses import dataclass
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class LogIdentity:
    """The topic of the state as its cluster knows it.

    Attributes
    ----------
    cluster_id, topic_id
        Names that the brokers gave: random, and never given again.
    topic
        The topic's name.
    group
        The consumer group whose state it is.
    """

    cluster_id: str
    topic_id: str
    topic: str
    group: str

    def ids_key(self) -> bytes:
        """Return the key of the ids' hashes: the same for all workers of the group.

        So shards that different workers began can be merged (``stream-hb migrate``), and without
        the workers agreeing on anything. It is secret to whoever may not describe the state's
        topic, so who sends events cannot choose ids that collide.

        >>> one, other = (LogIdentity("c", topic_id, "state", "g") for topic_id in "ab")
        >>> len(one.ids_key()), one.ids_key() == other.ids_key()
        (32, False)
        """
        named = "\0".join((self.cluster_id, self.topic_id, self.group))
        return blake2b(named.encode(), digest_size=32, person=b"stream-hb ids").digest()
