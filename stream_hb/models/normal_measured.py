"""Known sampling variances that a fit can take: above zero."""

from stream_hb.errors import FitError
from stream_hb.statistics.columns import Floats
from stream_hb.statistics.measured import Measured


def precision_of(groups: Measured) -> Floats:
    """Return 1/v, 0 where nothing is measured.

    Raises
    ------
    FitError
        A sampling variance is zero: that mean would be known for sure, and outweigh all others.

    Examples
    --------
    >>> import numpy as np
    >>> precision_of(Measured(np.array([3.0, 0.0]), np.array([0.25, np.inf])))
    array([4., 0.])
    """
    wrong = groups.variance == 0
    if wrong.any():
        row = int(wrong.argmax())
        raise FitError(
            f"row {row} (mean {groups.mean[row]:g}) has variance = 0: expected a number above 0; "
            "a mean of equal observations is not known for sure: give the observations' variances"
        )
    precision: Floats = 1 / groups.variance
    return precision
