"""Makes the library of poses: recorded motions retargeted, and stances made by reaching."""
