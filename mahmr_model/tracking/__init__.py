"""Who is who over time."""

from mahmr_model.tracking.tracker import Tracker, TrackerConfig

__all__ = ['Tracker', 'TrackerConfig']
