"""Synthetic people and scenes, free of licences that forbid use."""
