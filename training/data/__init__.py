"""From published annotations to training samples; see `dataset` for the way in."""
