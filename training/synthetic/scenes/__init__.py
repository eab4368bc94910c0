"""Synthetic scenes of people with exact metric truth."""
