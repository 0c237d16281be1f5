"""Partial pooling on live streams: events in, shrunk estimates out."""

__version__ = "0.1.0"
