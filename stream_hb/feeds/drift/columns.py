"""Columns of what is remembered of stores: arrays whose last axis runs over the stores."""

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Bools = NDArray[np.bool_]
Int64s = NDArray[np.int64]


class StoreColumns:
    """Base of frozen dataclasses of arrays, one place per store on the last axis."""

    __slots__ = ()

    @classmethod
    def of_new(cls, stores: int) -> Self:
        """Return what is remembered of stores of which nothing was seen."""
        raise NotImplementedError

    def like_new(self, stores: int) -> Self:
        """Return what is remembered of new stores, as wide as this."""
        return self.of_new(stores)

    def __len__(self) -> int:
        first = next(iter(self.__dataclass_fields__))  # type: ignore[attr-defined]
        return int(getattr(self, first).shape[-1])

    def columns(self) -> list[NDArray[Any]]:
        """Return the arrays in the order of the fields, without copying them."""
        return [getattr(self, name) for name in self.__dataclass_fields__]  # type: ignore[attr-defined]

    def grown(self, stores: int) -> Self:
        """Return the same with room for so many stores; the further ones are new."""
        if stores <= len(self):
            return self
        more = self.like_new(stores - len(self)).columns()
        pairs = zip(self.columns(), more, strict=True)
        return type(self)(*(np.concatenate(pair, axis=-1) for pair in pairs))

    def where(self, chosen: Bools, other: Self) -> Self:
        """Return the other's columns for the chosen stores, these for the rest."""
        pairs = zip(self.columns(), other.columns(), strict=True)
        return type(self)(*(np.where(chosen, theirs, own) for own, theirs in pairs))

    def renewed(self, chosen: Bools) -> Self:
        """Return the same with the chosen stores as new ones."""
        return self.where(chosen, self.like_new(len(self)))

    def snapshot(self) -> dict[str, NDArray[Any]]:
        """Return copies of the columns by name."""
        names = self.__dataclass_fields__  # type: ignore[attr-defined]
        return {name: getattr(self, name).copy() for name in names}

    @classmethod
    def restored(cls, columns: Mapping[str, NDArray[Any]]) -> Self:
        """Undo :meth:`snapshot`."""
        return cls(**{name: column.copy() for name, column in columns.items()})
