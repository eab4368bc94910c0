"""Who is who over time, and how calmly they move."""

from mahmr_model.tracking.smoother import OneEuroConfig, Smoother, SmootherConfig
from mahmr_model.tracking.tracker import Tracker, TrackerConfig

__all__ = ['OneEuroConfig', 'Smoother', 'SmootherConfig', 'Tracker', 'TrackerConfig']
