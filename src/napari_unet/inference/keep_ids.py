"""Ids that stay with their objects from one prediction to the next."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["keep_ids"]


def keep_ids(new: NDArray[Any], old: NDArray[Any]) -> NDArray[np.uint32]:
    """Give objects the ids of the older ones that they cover, so that colours stay.

    Of the new objects on an older one, the one with most of its pixels gets its id; the
    others get ids that nobody has.

    Parameters
    ----------
    new, old
        Ids of the same shape, 0 where there is no object.

    Returns
    -------
    ndarray of uint32
        ``new``, other ids.
    """
    ids = np.unique(new[new > 0])
    fresh = int(old.max(initial=0)) + 1
    renamed = np.zeros(int(new.max(initial=0)) + 1, np.uint32)
    is_both = (new > 0) & (old > 0)
    pairs, n_px = np.unique(
        np.stack([new[is_both], old[is_both]]), axis=1, return_counts=True
    )
    taken: set[int] = set()
    for number in np.argsort(-n_px, kind="stable"):
        mine, its = pairs[:, number].tolist()
        if not renamed[mine] and its not in taken:
            renamed[mine] = its
            taken.add(its)
    lonely = ids[renamed[ids] == 0]
    renamed[lonely] = np.arange(fresh, fresh + len(lonely), dtype=np.uint32)
    result: NDArray[np.uint32] = renamed[new]
    return result
