"""The parametric body: files in SMPL's layout, read safely, and the layer that poses them."""
