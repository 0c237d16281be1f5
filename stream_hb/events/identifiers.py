"""The alphabet of identifiers: fast over many at once, exact for one."""

import re
from collections.abc import Callable, Iterable, Sequence
from string import ascii_letters, digits

from stream_hb.errors import StreamHBError
from stream_hb.events.schema import Event

StoreKey = tuple[str | None, str]

_ALPHABET = (ascii_letters + digits + "._:-").encode()
_IDENTIFIER = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_IDENTIFIER_FIELDS = ("store_id", "chain_id", "visit_id", "order_id", "refund_id")
_EXPERIMENT_FIELDS = ("experiment_id", "arm")


class MalformedError(StreamHBError):
    """Some identifier or currency of a column is malformed."""


def only_identifier_characters(texts: Iterable[str]) -> bool:
    """Whether all texts together use the identifiers' alphabet only; lengths are not looked at.

    >>> only_identifier_characters(["store-01", "a.b:c"]), only_identifier_characters(["a b"])
    (True, False)
    """
    joined = "".join(texts)
    return joined.isascii() and not joined.encode().translate(None, _ALPHABET)


def is_identifier(text: str) -> bool:
    r"""Whether the text matches ``^[A-Za-z0-9._:-]{1,64}$``.

    >>> is_identifier("store-01"), is_identifier(""), is_identifier("a\\n")
    (True, False, False)
    """
    return _IDENTIFIER.fullmatch(text) is not None


def is_currency(text: str) -> bool:
    """Whether the text has the form of an ISO 4217 code, ``^[A-Z]{3}$``."""
    return _CURRENCY.fullmatch(text) is not None


def bad_identifier(event: Event) -> str:
    """Return which identifier or currency of the event is malformed, empty where none is."""
    for name in _IDENTIFIER_FIELDS:
        text = getattr(event, name, None)
        if text is not None and not is_identifier(text):
            return _malformed(text, "[A-Za-z0-9._:-]", name)
    for name in _EXPERIMENT_FIELDS:
        text = getattr(event.experiment, name, None)
        if text is not None and not is_identifier(text):
            return _malformed(text, "[A-Za-z0-9._:-]", f"experiment.{name}")
    currency = getattr(event, "currency", None)
    if currency is not None and not is_currency(currency):
        return _malformed(currency, "[A-Z]", "currency")
    return ""


def _malformed(text: str, alphabet: str, path: str) -> str:
    return f"Expected characters {alphabet}, got {text!r} - at `$.{path}`"


class StoreKeys:
    """Makes store keys of chain and store ids, each checked when it is first seen.

    The memory of what was seen only saves work: it is emptied when it holds ``limit`` chains and
    stores. Meanwhile all events of a store share one tuple.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._chains: dict[str | None, _Chain] = {}

    def __len__(self) -> int:
        """Return the number of chains and stores remembered."""
        return self._size

    def of(self, chains: Sequence[str | None], stores: Sequence[str]) -> list[StoreKey]:
        """Return (chain, store) of every event; a MalformedError where an id is malformed."""
        if chains and chains.count(chains[0]) == len(chains):
            return list(map(self._chain(chains[0]).__getitem__, stores))
        keys = zip(chains, stores, strict=True)
        return [self._chain(chain)[store] for chain, store in keys]

    def _chain(self, chain: str | None) -> "_Chain":
        known = self._chains.get(chain)
        if known is None:
            if chain is not None and not is_identifier(chain):
                raise MalformedError(chain)
            self._make_room()
            known = self._chains[chain] = _Chain(chain, self._make_room)
        return known

    def _make_room(self) -> None:
        if self._size >= self._limit:
            self._chains.clear()
            self._size = 0
        self._size += 1


class _Chain(dict[str, StoreKey]):
    """Keys of one chain's stores; a new one is checked."""

    def __init__(self, chain: str | None, make_room: Callable[[], None]) -> None:
        super().__init__()
        self._chain = chain
        self._make_room = make_room

    def __missing__(self, store: str) -> StoreKey:
        if not is_identifier(store):
            raise MalformedError(store)
        self._make_room()
        key = self[store] = (self._chain, store)
        return key
