"""The part of ``stream-hb demo`` that shows an alert."""

from math import exp


def print_drift() -> None:
    """Simulate a chain in which a store drifts, and print when it was found."""
    from stream_hb.cli.alerts_table import effect
    from stream_hb.feeds.drift.alerts import date_time
    from stream_hb.runtime import demo_drift as simulated

    told = simulated.drift_told()
    print(
        f"\nAlerts, on SIMULATED days ({simulated.STORES} stores, {simulated.DAYS} days, weekdays "
        "and two promotions of the whole chain):\n"
        f"from day {simulated.CHANGED} on, {told.store}'s odds of a purchase are "
        f"{1 - exp(simulated.SHIFT):.0%} lower."
    )
    alert, newest = told.found, told.newest
    if alert is None or newest is None:
        print("It was not found.")
        return
    about = date_time(alert["evidence"]["change_time_estimate_ms"])[:10]
    print(
        f"Told after {told.days_of(alert)} such days ({alert['severity']}): its odds moved by "
        f"{effect(alert['evidence'])},\nsince about {about} (in truth "
        f"{date_time(told.changed_ms)[:10]}). Others told of: {told.others}.\n"
        f"After {told.days_of(newest)} days: by {effect(newest['evidence'])}. What is told at once "
        "is told because it looks large."
    )
