"""The encoder: a DINOv2 vision transformer over packed sequences of adaptive tokens."""
