"""The lens of a picture by its camera_info; `mahmr bag` reads it the same way."""

from mahmr_model.sensors.calibration import (
    Calibration,
    Distortion,
    Lens,
    lens_of,
    Undistorter,
)

__all__ = ['Calibration', 'Distortion', 'Lens', 'Undistorter', 'lens_of']
