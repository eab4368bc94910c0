"""Geometry that knows no network: rotations and boxes."""
