"""What an experiment's arms have done in each store: counts and moments of mature units."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np

from stream_hb.errors import FitError
from stream_hb.statistics.columns import Floats

VARIABLES = ("visits", "converted", "orders", "revenue", "pre")
"""What is known of one unit: its sums, whether it ordered at all, and its covariate of before."""


@dataclass(frozen=True, slots=True)
class ValueMoments:
    """Moments of the logarithms of order values, shape (stores, arms).

    Attributes
    ----------
    count, mean, m2
        Number, mean and sum of squared deviations. From units: one value a buying unit (of its mean
        order), so that they are independent; from totals: one an order.
    """

    count: Floats
    mean: Floats
    m2: Floats


@dataclass(frozen=True, slots=True)
class UnitMoments:
    """Joint moments of :data:`VARIABLES` over the units of an arm.

    Attributes
    ----------
    mean
        Shape (stores, arms, variables).
    comoment
        Sums of products of deviations, shape (stores, arms, variables, variables).
    has_pre
        Whether the covariate ``pre`` is known; its entries are 0 where it is not.
    """

    mean: Floats
    comoment: Floats
    has_pre: bool


@dataclass(frozen=True, slots=True)
class ArmStatistics:
    """Sufficient statistics of every store and arm; arrays of shape (stores, arms).

    Of **mature units only**: those whose outcome is closed, first seen before the look's event time
    less the attribution window; and of the experiment's present epoch only (``State.since_ms``). A
    unit is what was randomised: a visitor, else a visit. Totals name no units: a visit is one.

    Attributes
    ----------
    units
        Mature units.
    visits, conversions, orders
        Their visits; how many of the units ordered at all; their live orders. From totals,
        conversions are purchasing visits.
    values
        Order values; None where they are not known.
    joint
        Joint moments over the units; None for totals, which cannot tell what one unit did.
    capped
        Units whose revenue was cut to the declared cap; None without a cap.
    """

    units: Floats
    visits: Floats
    conversions: Floats
    orders: Floats
    values: ValueMoments | None = None
    joint: UnitMoments | None = None
    capped: Floats | None = None

    @classmethod
    def of_totals(
        cls, visits: Floats, conversions: Floats, orders: Floats, values: ValueMoments | None = None
    ) -> Self:
        """Take totals: every visit is a unit.

        Raises
        ------
        FitError
            There are more conversions than visits.

        Examples
        --------
        >>> two = ArmStatistics.of_totals(*(np.full((1, 2), n) for n in (100.0, 5.0, 6.0)))
        >>> two.units
        array([[100., 100.]])
        """
        if (conversions > visits).any():
            store, arm = np.argwhere(conversions > visits)[0].tolist()
            raise FitError(
                f"store {store}, arm {arm}: {conversions[store, arm]:g} conversions of "
                f"{visits[store, arm]:g} visits: expected no more conversions than visits"
            )
        return cls(visits, visits, conversions, orders, values)

    @property
    def shape(self) -> tuple[int, int]:
        """Stores and arms."""
        stores, arms = self.units.shape
        return stores, arms

    def chain(self) -> Self:
        """Return all stores together, shape (1, arms)."""
        sums = {
            name: None if value is None else value.sum(axis=0, keepdims=True)
            for name, value in self._counts().items()
        }
        return type(self)(
            **sums,  # type: ignore[arg-type]
            values=None if self.values is None else _chain_values(self.values),
            joint=None if self.joint is None else _chain_moments(self.joint, self.units),
        )

    def _counts(self) -> dict[str, Floats | None]:
        apart = ("values", "joint")
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in apart}


def _chain_values(values: ValueMoments) -> ValueMoments:
    count = values.count.sum(axis=0, keepdims=True)
    mean = _weighted(values.count, values.mean)
    apart = (values.count * (values.mean - mean) ** 2).sum(axis=0, keepdims=True)
    return ValueMoments(count, mean, values.m2.sum(axis=0, keepdims=True) + apart)


def _chain_moments(joint: UnitMoments, units: Floats) -> UnitMoments:
    mean = _weighted(units[..., None], joint.mean)
    away = joint.mean - mean
    apart = units[..., None, None] * away[..., :, None] * away[..., None, :]
    comoment = (joint.comoment + apart).sum(axis=0, keepdims=True)
    return UnitMoments(mean, comoment, joint.has_pre)


def _weighted(weight: Floats, mean: Floats) -> Floats:
    total = weight.sum(axis=0, keepdims=True)
    out: Floats = (weight * mean).sum(axis=0, keepdims=True) / np.where(total > 0, total, 1.0)
    return out
