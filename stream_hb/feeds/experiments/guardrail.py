"""Guardrails: has a metric that must not fall been shown not to have fallen by the margin?"""

from typing import Literal

Verdict = Literal["pass", "fail", "inconclusive"]


def judge_guardrail(lower: float, upper: float, margin: float) -> Verdict:
    """Return the verdict of non-inferiority from one-sided sequences of the relative lift.

    ``pass``: the lift is above -margin; ``fail``: it is below; else nothing is shown yet. Not to
    have found harm is no proof that there is none, so ``inconclusive`` never lets an arm ship.

    Parameters
    ----------
    lower, upper
        Bounds of the lift; infinite while nothing is known.
    margin
        The fall that may be borne, above 0.

    Examples
    --------
    >>> judge_guardrail(-0.01, 0.2, 0.02), judge_guardrail(-0.3, -0.03, 0.02)
    ('pass', 'fail')
    >>> judge_guardrail(-0.3, 0.2, 0.02)
    'inconclusive'
    """
    if lower > -margin:
        return "pass"
    return "fail" if upper < -margin else "inconclusive"
