"""Prediction in tiles: the plan, maps with halo, filter features, whole images."""
