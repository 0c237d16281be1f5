"""Experiments: what the arms of a running experiment are believed to do, and what to do with it."""
