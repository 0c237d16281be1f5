"""What to do with an experiment: ship, rollback, hold or continue, and why, in words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from stream_hb.events.clock import DAY_MS
from stream_hb.feeds.experiments.guardrail import Verdict
from stream_hb.feeds.experiments.srm import SampleRatio

Action = Literal["ship", "rollback", "hold", "continue"]


@dataclass(frozen=True, slots=True)
class RailCase:
    """What a guardrail says of an arm; bounds of the relative lift, infinite while unknown."""

    metric: str
    margin: float
    verdict: Verdict
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class ArmCase:
    """What is known of one arm against the control, on the metric that decides.

    Attributes
    ----------
    arm
        Its name.
    enough
        Whether it and the control have units enough for any evidence.
    units, outcomes
        Mature units of the smaller of both, and how many have an outcome.
    p
        Always-valid p-value, the least so far.
    lift, lo, hi
        Relative lift and its confidence sequence.
    rails
        The guardrails.
    """

    arm: str
    enough: bool
    units: float
    outcomes: float
    p: float
    lift: float
    lo: float
    hi: float
    rails: tuple[RailCase, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """Everything that a decision reads. There is no P(best) among it.

    Attributes
    ----------
    metric
        The metric that decides.
    alpha
        Error probability, shared by all arms.
    matured_ms
        Event time that mature units span.
    minimum_runtime_ms
        What they have to span before an arm ships.
    srm
        The chain's sample ratio.
    srm_stores
        Stores whose own sample ratio is refuted.
    quality
        Flags that say that the data cannot be trusted.
    arms
        The arms.
    """

    metric: str
    alpha: float
    matured_ms: int
    minimum_runtime_ms: int
    srm: SampleRatio
    srm_stores: int
    quality: tuple[str, ...]
    arms: tuple[ArmCase, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, with which arm, and every reason."""

    action: Action
    arm: str | None
    reasons: tuple[str, ...]


def decide(case: Case) -> Decision:
    """Return what to do.

    1. **hold** while the split of units or the data cannot be trusted: nothing else is read then.
    2. **rollback** an arm that is shown to be worse, or to break a guardrail; at once, harm does
       not wait for the minimum runtime.
    3. **ship** the best arm that is shown to be better, breaks no guardrail and is shown to break
       none, once its units span the minimum runtime.
    4. else **continue**.

    "Shown" is the always-valid p-value at most alpha over the number of arms (Bonferroni; its
    running minimum makes every look count), with a sequence that does not say the opposite now.
    """
    wrong = tuple(_distrust(case))
    if wrong:
        return Decision("hold", None, wrong)
    worse = [(arm, why) for arm in case.arms if (why := tuple(_harm(case, arm)))]
    better = [arm for arm in case.arms if _is_better(case, arm) and not tuple(_harm(case, arm))]
    ready = [arm for arm in better if not tuple(_waits(case, arm))]
    if ready:
        best = max(ready, key=lambda arm: arm.lift)
        return Decision("ship", best.arm, (_lift_words(case, best), *_rails_words(best)))
    if worse:
        return Decision("rollback", worse[0][0].arm, tuple(w for _, why in worse for w in why))
    return Decision("continue", None, tuple(_open(case, better)))


def _distrust(case: Case) -> Iterator[str]:
    srm = case.srm
    if srm.unexpected > 0:
        yield f"unexpected_arm: {srm.unexpected:g} units in arms switched off or not declared"
    if srm.status == "alert":
        yield (
            f"srm: the arms' shares of units are off by up to {srm.deviation:.2%} "
            f"(chi-square p {srm.p_value:.2g}, ln E {srm.log_e:.1f})"
        )
    if case.srm_stores:
        yield f"srm: the arms' shares of units are off in {case.srm_stores} stores"
    for flag in case.quality:
        yield f"{flag}: the data cannot be trusted"


def _harm(case: Case, arm: ArmCase) -> Iterator[str]:
    if _is_shown(case, arm) and arm.lift < 0 and not arm.lo > 0:
        yield f"arm {arm.arm} is worse: {_lift_words(case, arm)}"
    for rail in arm.rails:
        if rail.verdict == "fail":
            yield (
                f"arm {arm.arm} breaks guardrail {rail.metric}: it has fallen by more than "
                f"{rail.margin:.1%} (lift at most {rail.upper:+.1%})"
            )


def _is_shown(case: Case, arm: ArmCase) -> bool:
    return arm.enough and arm.p <= case.alpha / len(case.arms)


def _is_better(case: Case, arm: ArmCase) -> bool:
    return _is_shown(case, arm) and arm.lift > 0 and not arm.hi < 0


def _waits(case: Case, arm: ArmCase) -> Iterator[str]:
    """Say what keeps an arm that is better from being shipped."""
    if case.matured_ms < case.minimum_runtime_ms:
        yield (
            f"minimum runtime: mature units span {case.matured_ms / DAY_MS:.1f} days of "
            f"{case.minimum_runtime_ms / DAY_MS:.1f}"
        )
    for rail in arm.rails:
        if rail.verdict == "inconclusive":
            yield (
                f"guardrail {rail.metric}: not shown yet that arm {arm.arm} falls by less than "
                f"{rail.margin:.1%}"
            )


def _open(case: Case, better: Sequence[ArmCase]) -> Iterator[str]:
    for arm in better:
        yield f"arm {arm.arm} is better: {_lift_words(case, arm)}"
        yield from _waits(case, arm)
    for arm in case.arms:
        if not arm.enough:
            yield (
                f"insufficient: {arm.units:g} mature units in arm {arm.arm} or the control, "
                f"{arm.outcomes:g} with an outcome"
            )
        elif arm not in better:
            yield f"not decided: {_lift_words(case, arm)}"
    if not case.arms:
        yield "insufficient: no arm to compare with the control has a weight"


def _lift_words(case: Case, arm: ArmCase) -> str:
    level = f"{1 - case.alpha:.0%}"
    inside = f"{level} sequence {arm.lo:+.1%} to {arm.hi:+.1%}"
    return f"{case.metric} of arm {arm.arm} {arm.lift:+.1%} ({inside}), always-valid p {arm.p:.2g}"


def _rails_words(arm: ArmCase) -> Iterator[str]:
    for rail in arm.rails:
        yield (
            f"guardrail {rail.metric}: shown to fall by less than {rail.margin:.1%} "
            f"(lift at least {rail.lower:+.1%})"
        )
