"""The alphabet of identifiers: fast over many at once, exact for one."""

import re
from collections.abc import Iterable, Sequence
from operator import getitem
from string import ascii_letters, digits

import numpy as np

from stream_hb.errors import StreamHBError
from stream_hb.events.batch import Int64s, StoreKey
from stream_hb.events.schema import Event

_ALPHABET = (ascii_letters + digits + "._:-").encode()
_IDENTIFIER = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_CURRENCY = re.compile(r"[A-Z]{3}")
_IDENTIFIER_FIELDS = ("store_id", "chain_id", "visit_id", "order_id", "refund_id", "control_id")


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
    currency = getattr(event, "currency", None)
    if currency is not None and not is_currency(currency):
        return _malformed(currency, "[A-Z]", "currency")
    return ""


def _malformed(text: str, alphabet: str, path: str) -> str:
    return f"Expected characters {alphabet}, got {text!r} - at `$.{path}`"


class StoreCodes:
    """Numbers store keys in the order in which they are first seen, each checked then.

    One look-up an event both finds a key well formed and replaces it by a small number; a store's
    row, or whatever else is kept of it, is then found by number.

    Attributes
    ----------
    known
        The keys by their code; only ever appended to.
    """

    def __init__(self) -> None:
        self.known: list[StoreKey] = []
        self._chains = _Chains(self.known)

    def __len__(self) -> int:
        """Return the number of chains and stores remembered."""
        return len(self.known) + len(self._chains)

    def of(self, chains: Sequence[str | None], stores: Sequence[str]) -> Int64s:
        """Return the code of every event's store; a MalformedError where an id is malformed."""
        if len(set(chains)) == 1:
            return np.fromiter(map(self._chains[chains[0]].__getitem__, stores), np.int64)
        codes = map(getitem, map(self._chains.__getitem__, chains), stores)
        return np.fromiter(codes, np.int64, len(stores))


class _Chains(dict[str | None, "_Chain"]):
    """The stores of every chain; a new chain is checked."""

    def __init__(self, known: list[StoreKey]) -> None:
        super().__init__()
        self._known = known

    def __missing__(self, chain: str | None) -> "_Chain":
        if chain is not None and not is_identifier(chain):
            raise MalformedError(chain)
        stores = self[chain] = _Chain(chain, self._known)
        return stores


class _Chain(dict[str, int]):
    """Codes of one chain's stores; a new store is checked and gets the next code."""

    def __init__(self, chain: str | None, known: list[StoreKey]) -> None:
        super().__init__()
        self._chain = chain
        self._known = known

    def __missing__(self, store: str) -> int:
        if not is_identifier(store):
            raise MalformedError(store)
        code = self[store] = len(self._known)
        self._known.append((self._chain, store))
        return code
