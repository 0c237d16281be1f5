"""The shape of a likelihood of two spreads, from its values on a grid that begins at none."""

import numpy as np

from stream_hb.models.profile import Shape, shape_of
from stream_hb.statistics.columns import Floats

_ROUNDING = 1e-6
"""Nats by which an edge may be lower than it is."""


def shape_of_both(first: Floats, second: Floats, heights: Floats, *, tells_apart: bool) -> Shape:
    """Return whether one spread is likeliest to be none, and whether either one has two modes.

    Of each spread's modes the likelihood says that is integrated over the other one: that is smooth
    where the highest value along a ridge between the points is not. Where the data do not tell the
    spreads apart the second one is of the first one's kind, and the first one alone is asked.

    Parameters
    ----------
    first, second
        Both spreads, rising from 0, shape (n,) and (m,).
    heights
        Log-likelihood, shape (n, m).
    tells_apart
        Whether the data tell the spreads apart.
    """
    bimodal = shape_of(_integrated(heights, second)).bimodal
    if not tells_apart:
        return Shape(_is_reached(heights[0, 0], heights[1:, 0]), bimodal)
    edge = max(float(heights[0].max()), float(heights[:, 0].max()))
    bimodal |= shape_of(_integrated(heights.T, first)).bimodal
    return Shape(_is_reached(edge, heights[1:, 1:]), bimodal)


def _integrated(heights: Floats, spread: Floats) -> Floats:
    """Integrate over the spread that is heights' last axis."""
    inside: Floats = np.logaddexp.reduce(heights + np.log(np.gradient(spread)), axis=1)
    return inside


def _is_reached(edge: float, inside: Floats) -> bool:
    return bool(edge >= inside.max() - _ROUNDING)
