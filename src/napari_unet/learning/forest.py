"""The random forest on filter features: the field's baseline, one of our candidates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree._tree import Tree

from napari_unet.config import InstantConfig
from napari_unet.errors import CheckpointError

__all__ = ["Forest"]

# what a node must have for prediction; scikit-learn's other fields only describe it
_NODE_FIELDS = ("left_child", "right_child", "feature", "threshold")
_MAX_NODES = 1_000_000


@dataclass(frozen=True, eq=False)
class Forest:
    """A fitted random forest (Breiman 2001, doi:10.1023/A:1010933404324).

    Held as scikit-learn's bare trees, which go to disk as plain arrays and come back
    without pickle.
    """

    trees: tuple[Any, ...]
    n_features: int
    n_classes: int

    @classmethod
    def fit(
        cls,
        features: NDArray[np.float32],
        targets: NDArray[np.integer],
        n_classes: int,
        sample_weights: NDArray[np.float32],
        config: InstantConfig,
        seed: int,
    ) -> Forest:
        """Fit to features (n, G) and class indices (n,) from 0, with weights (n,)."""
        model = RandomForestClassifier(
            n_estimators=config.n_trees,
            max_depth=config.tree_depth,
            random_state=seed,
            n_jobs=1,
        ).fit(features, targets, sample_weight=sample_weights)
        trees = []
        for estimator in model.estimators_:
            state = estimator.tree_.__getstate__()
            # a class that no training pixel has still gets its column
            values = np.zeros((state["node_count"], 1, n_classes))
            values[:, :, model.classes_] = state["values"]
            trees.append(_make_tree(state["nodes"], values, features.shape[1]))
        return cls(tuple(trees), features.shape[1], n_classes)

    def probabilities(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map features (n, G) to probabilities (n, K)."""
        features = np.ascontiguousarray(features, np.float32)
        if features.shape[1] != self.n_features:  # bare trees would read beyond them
            raise ValueError(
                f"the forest needs {self.n_features} features, not {features.shape[1]}"
            )
        total = np.zeros((len(features), self.n_classes))
        for tree in self.trees:
            total += tree.predict(features).reshape(len(features), self.n_classes)
        total /= np.maximum(total.sum(axis=1, keepdims=True), 1e-12)
        return total.astype(np.float32)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Return the forest as plain arrays, trees one after the other."""
        states = [tree.__getstate__() for tree in self.trees]
        nodes = np.concatenate([state["nodes"] for state in states])
        arrays = {name: np.ascontiguousarray(nodes[name]) for name in _NODE_FIELDS}
        values = np.concatenate([state["values"][:, 0] for state in states])
        counts = np.array([state["node_count"] for state in states], np.int64)
        meta = np.array([self.n_features, self.n_classes], np.int64)
        return {**arrays, "values": values, "counts": counts, "meta": meta}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Forest:
        """Rebuild a forest from `to_arrays`.

        Raises
        ------
        CheckpointError
            If the arrays are no forest: every child must come after its parent and
            every feature must exist, so that a hostile file cannot read beyond memory
            or loop for ever.
        """
        try:
            n_features, n_classes = (int(n) for n in arrays["meta"])
            counts = [int(n) for n in arrays["counts"]]
            values = np.asarray(arrays["values"], np.float64)
            columns = {name: np.asarray(arrays[name]) for name in _NODE_FIELDS}
        except (KeyError, ValueError, TypeError, OverflowError) as error:
            raise CheckpointError(
                "the forest in the model file is damaged: train and save again"
            ) from error
        n_nodes = sum(counts)
        is_sound = (
            0 < n_nodes <= _MAX_NODES * max(len(counts), 1)
            and min(counts) > 0
            and 0 < n_features <= 100_000
            and values.shape == (n_nodes, n_classes)
            and bool(((values >= 0) & (values < 1.001)).all())  # shares; no NaN
            and all(column.shape == (n_nodes,) for column in columns.values())
            and all(columns[name].dtype.kind == "i" for name in _NODE_FIELDS[:3])
            and columns["threshold"].dtype.kind == "f"
        )
        if not is_sound:
            raise CheckpointError(
                "the forest in the model file is damaged: train and save again"
            )
        trees, start = [], 0
        for count in counts:
            part = slice(start, start + count)
            nodes = {name: column[part] for name, column in columns.items()}
            _check_nodes(nodes, count, n_features)
            trees.append(_make_tree(nodes, values[part, None], n_features))
            start += count
        return cls(tuple(trees), n_features, n_classes)


def _check_nodes(nodes: dict[str, NDArray[Any]], count: int, n_features: int) -> None:
    """Refuse a tree whose walk could leave its arrays or never end."""
    left, right, feature = (nodes[name] for name in _NODE_FIELDS[:3])
    is_leaf = left == -1
    own = np.arange(count)
    is_sound = (
        np.array_equal(is_leaf, right == -1)
        and (left[~is_leaf] > own[~is_leaf]).all()
        and (right[~is_leaf] > own[~is_leaf]).all()
        and (left < count).all()
        and (right < count).all()
        and (feature[~is_leaf] >= 0).all()
        and (feature[~is_leaf] < n_features).all()
    )
    if not is_sound:
        raise CheckpointError(
            "the forest in the model file is damaged: train and save again"
        )


def _make_tree(nodes: Any, values: NDArray[np.float64], n_features: int) -> Tree:
    """Build scikit-learn's tree from node columns and class values (n, 1, K)."""
    n_classes = values.shape[2]
    tree = Tree(n_features, np.array([n_classes], np.intp), 1)
    layout = tree.__getstate__()["nodes"].dtype  # differs between versions
    table = np.zeros(len(values), layout)
    for name in _NODE_FIELDS:
        table[name] = nodes[name]
    tree.__setstate__(
        {
            "max_depth": 0,
            "node_count": len(values),
            "nodes": table,
            "values": np.ascontiguousarray(values, np.float64),
        }
    )
    return tree
