"""The dead-band Shiryaev-Roberts mixture as a river detector."""

from math import exp, inf, isfinite, log

from river.base import DriftDetector


class DeadBand(DriftDetector):
    r"""Detects that standardised values have left a band about zero, in either direction.

    For each shift δ, :math:`S_δ \leftarrow (1 + S_δ)\,L_δ(x)`, L the normal density at δ over that
    at the edge of the band; drift is detected when the mean of the S reaches the threshold, and the
    next value starts anew. While the values' mean is within the band, that happens no more than
    once in ``average_run_length`` values on average: river's other detectors have no such setting.

    Parameters
    ----------
    average_run_length
        The threshold.
    dead_band
        What the mean may be off by, in standard deviations.
    shifts
        Sizes of shift to look for, in standard deviations; all beyond the band.

    Attributes
    ----------
    ignored
        Values that were not finite. One of them would silence ADWIN or PageHinkley for ever.

    Examples
    --------
    >>> import random
    >>> from stream_hb.river import DeadBand
    >>> rng = random.Random(1)
    >>> detector = DeadBand()
    >>> for i in range(1_000):
    ...     detector.update(rng.gauss(0.0 if i < 500 else 1.0, 1.0))
    ...     if detector.drift_detected:
    ...         print(i, detector.direction)
    ...         break
    580 up
    """

    def __init__(
        self,
        average_run_length: float = 2_000.0,
        dead_band: float = 0.2,
        shifts: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0),
    ) -> None:
        super().__init__()
        if not 0 <= dead_band < min(shifts):
            raise ValueError(f"shifts must lie beyond the dead band {dead_band}, got {shifts}")
        self.average_run_length = average_run_length
        self.dead_band = dead_band
        self.shifts = shifts
        self.ignored = 0
        self._reset()

    def _reset(self) -> None:
        super()._reset()
        self._log_s = [-inf] * (2 * len(self.shifts))

    @property
    def log_statistic(self) -> float:
        """Logarithm of the mean of the S."""
        return _log_sum(self._log_s) - log(len(self._log_s))

    @property
    def direction(self) -> str:
        """``up`` or ``down``: where there is more evidence."""
        half = len(self.shifts)
        return "up" if max(self._log_s[:half]) >= max(self._log_s[half:]) else "down"

    def update(self, x: int | float) -> None:
        """Take the next value, standardised: mean 0 and standard deviation 1 without a drift."""
        if self.drift_detected:
            self._reset()
        if not isfinite(x):
            self.ignored += 1
            return
        for place, (shift, edge) in enumerate(self._pairs()):
            ratio = (shift - edge) * (x - (shift + edge) / 2)
            self._log_s[place] = _log_one_plus(self._log_s[place]) + ratio
        self._drift_detected = self.log_statistic >= log(self.average_run_length)

    def _pairs(self) -> list[tuple[float, float]]:
        return [
            (sign * shift, sign * self.dead_band) for sign in (1.0, -1.0) for shift in self.shifts
        ]


def _log_one_plus(log_s: float) -> float:
    """Return ln(1 + S)."""
    return _log_sum([0.0, log_s])


def _log_sum(logs: list[float]) -> float:
    top = max(logs)
    return top if top == -inf else top + log(sum(exp(one - top) for one in logs))
