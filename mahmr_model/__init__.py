"""Metric people for robots: from a picture to every person's body mesh in metres."""

__version__ = '0.1.0'
