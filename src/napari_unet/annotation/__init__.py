"""Sparse labels: strokes and folds, patches, augmentation, the simulated annotator."""
