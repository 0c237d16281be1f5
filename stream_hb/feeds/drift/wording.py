"""What an alert says to people: Alertmanager's annotations."""

from math import exp

from stream_hb.feeds.drift.alerts import Alert, Evidence
from stream_hb.feeds.drift.tick import Kind

_UNIT = {Kind.COUNTS: "odds", Kind.RATES: "rate", Kind.VALUES: "value"}
_TEXT_MAX = 512


def annotations(
    alert: Alert, evidence: Evidence, kind: Kind, chain_id: str, store_id: str | None, metric: str
) -> dict[str, str]:
    """Return a summary and what to look at."""
    summary, description = _texts(alert, evidence, kind, chain_id, store_id, metric)
    return {"summary": summary[:_TEXT_MAX], "description": description[:_TEXT_MAX]}


def resolution(retired: bool, reason: str | None) -> dict[str, str]:
    """Return why an alert has ended, where it did not end by itself.

    >>> resolution(False, "moved to the first floor")
    {'resolution': 'accepted by an operator: moved to the first floor'}
    >>> resolution(False, None)
    {}
    """
    if retired:
        return {"resolution": "the store has retired"}
    if reason is None:
        return {}
    return {"resolution": f"accepted by an operator: {reason}"[:_TEXT_MAX].removesuffix(": ")}


def _texts(
    alert: Alert, evidence: Evidence, kind: Kind, chain_id: str, store_id: str | None, metric: str
) -> tuple[str, str]:
    if alert.detector == "silent":
        return (
            f"store {store_id} of {chain_id} has no visits",
            f"{evidence.statistic:.3g} is ln of the probability of none; closed, or not counted?",
        )
    if alert.detector == "chain_shift":
        return (
            f"{chain_id}: {metric} of {evidence.peers_firing} stores moves {alert.direction}",
            "Alerts of single stores in this direction are held while it lasts.",
        )
    size = _size(evidence, kind)
    if alert.detector == "level":
        return (
            f"store {store_id} of {chain_id}: {metric} is far from the chain's ({size})",
            f"beyond the margin with probability {evidence.prob_beyond_delta:.3f}",
        )
    return (
        f"store {store_id} of {chain_id}: {metric} has left its relation to the chain ({size})",
        "Compare with the chain's other stores from the estimated time of the change on.",
    )


def _size(evidence: Evidence, kind: Kind) -> str:
    effect = evidence.effect if isinstance(evidence.effect, float) else 0.0
    return f"{exp(effect) - 1:+.0%} {_UNIT[kind]}"
