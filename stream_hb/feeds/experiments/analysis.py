"""One look at an experiment: statistics and the memory in, evidence, decision and memory out."""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream_hb.errors import FitError
from stream_hb.feeds.experiments.arm_statistics import ArmStatistics
from stream_hb.feeds.experiments.decision import ArmCase, Case, Decision, RailCase, decide
from stream_hb.feeds.experiments.declaration import Experiment, Guardrail
from stream_hb.feeds.experiments.evalues import e_bh
from stream_hb.feeds.experiments.evidence import Evidence, evidence_of
from stream_hb.feeds.experiments.guardrail import judge_guardrail
from stream_hb.feeds.experiments.srm import P_ALERT, SampleRatio, sample_ratio, srm_log_e
from stream_hb.feeds.experiments.state import State
from stream_hb.feeds.experiments.stratified import of_outcomes
from stream_hb.statistics.columns import Floats

CROSSOVER_SHARE_MAX = 0.01
"""Share of units that were seen in two arms above which the split is not trusted."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look is given.

    Attributes
    ----------
    statistics
        Of mature units of the state's epoch, shape (stores, arms); the arms as declared.
    assigned
        Units assigned so far, mature or not, of the same epoch: who was sent where needs no
        outcome. Shape (stores, arms).
    at_ms
        Event time of the look (the watermark).
    crossovers
        Units that were seen in two arms; they are in neither of the counts.
    undeclared
        Units in arms that were never declared.
    quality
        Flags that say that the data cannot be trusted, such as ``mixed_currency``.
    pre_rate
        Each store's own rate of before the experiment, of the metric that decides; None: unknown.
    begun_ms
        Event time before which no unit was first seen: an experiment that was declared a month
        before its first unit has not run for a month. 0: not known; then since the epoch began.
    """

    statistics: ArmStatistics
    assigned: Floats
    at_ms: int
    crossovers: float = 0.0
    undeclared: float = 0.0
    quality: tuple[str, ...] = ()
    pre_rate: Floats | None = None
    begun_ms: int = 0


@dataclass(frozen=True, slots=True)
class MetricLook:
    """One metric at one look; arrays of shape (1 + stores, comparisons), row 0 the chain.

    Attributes
    ----------
    evidence
        What the data say.
    log_e
        ln E of all epochs.
    p
        Always-valid p, the least so far.
    discovered
        Stores where the effect is one of those found by e-BH over all stores, metrics and
        comparisons, at false discovery rate alpha; shape (stores, comparisons).
    """

    evidence: Evidence
    log_e: Floats
    p: Floats
    discovered: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Look:
    """What one look found.

    Attributes
    ----------
    metrics
        By the metric's name.
    srm
        The chain's sample ratio.
    srm_log_e, srm_stores
        Of each store: largest ln E so far, and whether e-BH refutes its ratio.
    rails
        Guardrails by comparison.
    quality
        Flags that made the decision ``hold``, without the sample ratio's.
    decision
        What to do.
    """

    metrics: dict[str, MetricLook]
    srm: SampleRatio
    srm_log_e: Floats
    srm_stores: NDArray[np.bool_]
    rails: tuple[tuple[RailCase, ...], ...]
    quality: tuple[str, ...]
    decision: Decision = field(repr=False)


def look(experiment: Experiment, state: State, seen: Seen) -> tuple[State, Look]:
    """Look at an experiment once.

    A function of its arguments: the same look twice is the same state, and p never rises.
    Statistics may also shrink between looks (a refund); what E was at an earlier look stays in p.

    Parameters
    ----------
    experiment
        The declaration; where it is not the one that the state began with, a new epoch begins at
        this look, which then has no data of its own yet: pass statistics of units since
        ``State.since_ms`` from the next look on.
    state
        The memory.
    seen
        What there is to see.

    Returns
    -------
    The new memory, and what was found.

    Raises
    ------
    FitError
        The statistics are of other arms than declared, or of fewer stores than before.
    """
    _check(experiment, state, seen)
    stores = len(seen.assigned)
    begun = state.under(experiment, seen.at_ms).with_stores(stores)
    if begun.epoch != state.epoch:
        seen = _nothing_yet(seen)
    evidence = {
        metric: evidence_of(experiment, begun.tuning, seen.statistics, metric)
        for metric in experiment.analysed
    }
    ratio, ratios = _sample_ratios(experiment, seen)
    log_e = np.stack([one.log_e for one in evidence.values()])
    new = begun.after(log_e, np.concatenate([[ratio.log_e], ratios]), seen.at_ms)
    return new, _found(experiment, new, seen, evidence, ratio)


def _check(experiment: Experiment, state: State, seen: Seen) -> None:
    arms, shape = len(experiment.arms), seen.statistics.shape
    if shape != seen.assigned.shape or shape[1] != arms:
        raise FitError(
            f"experiment {experiment.experiment_id}: statistics of shape {shape}, assigned units "
            f"of {seen.assigned.shape}: expected (stores, {arms}) of both"
        )
    if shape[0] < state.p.shape[1] - 1:
        raise FitError(
            f"experiment {experiment.experiment_id}: statistics of {shape[0]} stores, but "
            f"{state.p.shape[1] - 1} are remembered: stores keep their rows"
        )


def _nothing_yet(seen: Seen) -> Seen:
    """Return a look without a unit: what there is belongs to the epoch before."""
    nothing = np.zeros(seen.assigned.shape)
    return Seen(
        ArmStatistics(nothing, nothing, nothing, nothing), nothing, seen.at_ms, quality=seen.quality
    )


def _sample_ratios(experiment: Experiment, seen: Seen) -> tuple[SampleRatio, Floats]:
    """Return the chain's sample ratio and every store's ln E."""
    weights = experiment.weights
    chain = sample_ratio(seen.assigned.sum(axis=0), weights)
    live = weights > 0
    stores = srm_log_e(seen.assigned[:, live], weights[live] / weights[live].sum())
    return chain._replace(unexpected=chain.unexpected + seen.undeclared), stores


def _found(
    experiment: Experiment,
    state: State,
    seen: Seen,
    evidence: dict[str, Evidence],
    ratio: SampleRatio,
) -> Look:
    total = state.log_e_total
    discovered = e_bh(total[:, 1:].ravel(), experiment.alpha).reshape(total[:, 1:].shape)
    metrics = {
        metric: MetricLook(one, total[i], state.p[i], discovered[i])
        for i, (metric, one) in enumerate(evidence.items())
    }
    # The largest so far: a ratio that was refuted once does not become right by waiting.
    ratio = ratio._replace(log_e=float(state.srm_log_e[0]))
    srm_stores = e_bh(state.srm_log_e[1:], P_ALERT)
    rails = tuple(_rails(experiment, metrics, i) for i in range(len(experiment.treatments)))
    quality = (*seen.quality, *_crossover_flag(seen))
    case = Case(
        experiment.metrics[0],
        experiment.alpha,
        _matured_ms(experiment, state, seen),
        experiment.minimum_runtime_ms,
        ratio,
        int(srm_stores.sum()),
        quality,
        tuple(_arm_case(experiment, metrics, rails, i) for i in range(len(rails))),
    )
    return Look(metrics, ratio, state.srm_log_e[1:], srm_stores, rails, quality, decide(case))


def _matured_ms(experiment: Experiment, state: State, seen: Seen) -> int:
    begun_ms = max(state.since_ms, seen.begun_ms)
    return max(0, seen.at_ms - experiment.attribution_window_ms - begun_ms)


def _crossover_flag(seen: Seen) -> tuple[str, ...]:
    units = float(seen.assigned.sum()) + seen.crossovers
    return ("crossover",) if seen.crossovers > CROSSOVER_SHARE_MAX * units else ()


def _rails(experiment: Experiment, metrics: dict[str, MetricLook], i: int) -> tuple[RailCase, ...]:
    return tuple(
        _rail(rail, *(float(end[0, i]) for end in metrics[rail.metric].evidence.bounds))
        for rail in experiment.guardrails
    )


def _rail(rail: Guardrail, lower: float, upper: float) -> RailCase:
    verdict = judge_guardrail(lower, upper, rail.margin)
    return RailCase(rail.metric, rail.margin, verdict, lower, upper)


def _arm_case(
    experiment: Experiment,
    metrics: dict[str, MetricLook],
    rails: tuple[tuple[RailCase, ...], ...],
    i: int,
) -> ArmCase:
    one = metrics[experiment.metrics[0]]
    evidence = one.evidence
    lo, hi = (float(end[0, i]) for end in evidence.relative_sequence)
    enough = bool(evidence.enough[0, i]) and math.isfinite(lo) and math.isfinite(hi)
    return ArmCase(
        experiment.comparisons[i],
        enough,
        float(min(evidence.control.units[0, i], evidence.arm.units[0, i])),
        float(min(of_outcomes(one)[0, i] for one in (evidence.control, evidence.arm))),
        float(one.p[0, i]),
        float(evidence.relative.effect[0, i]) if enough else 0.0,
        lo,
        hi,
        rails[i],
    )
