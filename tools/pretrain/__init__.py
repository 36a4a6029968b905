"""Pretraining of the bundled weights: ``python -m tools.pretrain --help``."""
