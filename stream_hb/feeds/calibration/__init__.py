"""Calibration of the stream itself: predictions of closed ticks, scored before they enter."""
