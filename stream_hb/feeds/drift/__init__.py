"""Drift: which stores leave their own relation to their chain, told by closed ticks.

:func:`stream_hb.feeds.drift.feed.step` is the one entry: a pure function of what is remembered and
of one closed hour or day of one chain and metric.
"""
