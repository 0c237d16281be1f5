"""Which orders are in their group's currency: the others are remembered, and as if never sent."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_hb.events.batch import Bools, Int64s
from stream_hb.statistics.columns import Rows

Codes = NDArray[np.uint16]
"""Numbers of currencies, above 0; 0: none."""


@dataclass(frozen=True, slots=True)
class Currencies:
    """The groups' currencies after a batch.

    Attributes
    ----------
    base
        By row, the currency that amounts under the number 0 are in.
    current
        By row, the group's currency; 0 before its first purchase.
    turned
        The groups of which something may be remembered and whose currency the batch changes.

    Examples
    --------
    Of a group in the currency 9, which remembers amounts in 4 under 0; and of one without orders:

    >>> currencies = Currencies(np.array([4, 4]), np.array([9, 0]), np.array([0]))
    >>> currencies.foreign(np.array([0, 0, 1]), np.array([0, 9, 0]))
    array([ True, False, False])
    """

    base: Codes
    current: Codes
    turned: Rows

    def foreign(self, rows: Rows, numbers: Int64s) -> Bools:
        """Tell which amounts are in another currency than their group's."""
        current = self.current[rows]
        others = np.where(numbers == 0, self.base[rows], numbers) != current
        foreign: Bools = others & (current != 0)
        return foreign
