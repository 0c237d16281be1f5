"""``fit --covariates`` and ``--nested``: what the table knows of its groups beforehand."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from stream_hb.cli.tables import Table
from stream_hb.errors import UsageError
from stream_hb.models.covariates.registry import COVARIATE_FAMILIES
from stream_hb.models.described import Described
from stream_hb.models.family import Family
from stream_hb.models.nested.registry import NESTED_FAMILIES
from stream_hb.models.registry import FAMILIES
from stream_hb.statistics.columns import Floats, Statistic


@dataclass(frozen=True, slots=True)
class Description:
    """Which columns of the table describe its groups.

    Attributes
    ----------
    covariates
        Columns of numbers that shift the prior mean.
    nested
        The column that groups the groups; None: they are not grouped.
    """

    covariates: tuple[str, ...]
    nested: str | None

    @classmethod
    def of(cls, covariates: str | None, nested: str | None) -> Self:
        """Read both options."""
        names = tuple(name.strip() for name in (covariates or "").split(",") if name.strip())
        if covariates is not None and not names:
            raise UsageError("--covariates should name at least one column")
        if names and nested is not None:
            raise UsageError("--covariates and --nested cannot be joined: choose one")
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise UsageError(f"--covariates names {twice[0]!r} twice")
        return cls(names, nested)

    @property
    def texts(self) -> tuple[str, ...]:
        """The columns to read as they stand."""
        return () if self.nested is None else (self.nested,)

    def family(self, name: str) -> Family[Any, Any]:
        """Return the family of that name for groups so described."""
        families, option = self._families()
        if name not in families:
            raise UsageError(f"{option} needs a known or a common variance: leave --variance out")
        return families[name]

    def require_takes(self, prior: str | None) -> None:
        """Raise for the one prior that is of α and β: groups described have neither."""
        _, option = self._families()
        if prior == "bda" and option:
            raise UsageError(f"--prior bda is of one α and one β, and {option} has several")

    def described(self, groups: Statistic, table: Table) -> Any:
        """Return the groups as the family takes them."""
        if self.covariates:
            return Described.of(groups, covariates=self._matrix(table), names=self.covariates)
        if self.nested is not None:
            return Described.of(groups, regions=_coded(table.texts[self.nested]))
        return groups

    def _families(self) -> tuple[Mapping[str, Family[Any, Any]], str]:
        if self.covariates:
            return COVARIATE_FAMILIES, "--covariates"
        return (FAMILIES, "") if self.nested is None else (NESTED_FAMILIES, "--nested")

    def _matrix(self, table: Table) -> Floats:
        for name in self.covariates:
            table.require_finite(name)
        return np.column_stack([table.columns[name] for name in self.covariates])


def _coded(words: list[str]) -> NDArray[np.intp]:
    """Number the regions in the order of their first group; -1 where there is none."""
    numbers: dict[str, int] = {}
    return np.array(
        [numbers.setdefault(word, len(numbers)) if word else -1 for word in words], dtype=np.intp
    )
