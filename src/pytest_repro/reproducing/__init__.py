"""Redo a recorded result from nothing: its commit, packages, data and seeds, and a comparison with its record."""
