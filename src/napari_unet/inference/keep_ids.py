"""Ids that stay with their objects from one prediction to the next."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["keep_ids"]


def keep_ids(
    new: NDArray[Any], old: NDArray[Any], first_fresh: int = 1
) -> NDArray[np.uint32]:
    """Give objects the ids of the older ones that they cover, so that colours stay.

    Of the new objects on an older one, the one with most of its pixels gets its id; the
    others get ids that nobody has.

    Parameters
    ----------
    new, old
        Ids of the same shape, 0 where there is no object.
    first_fresh
        Smaller ids may be in use elsewhere: no object gets one that it had not before.

    Returns
    -------
    ndarray of uint32
        ``new``, other ids.
    """
    ids = np.unique(new[new > 0])
    n_old = int(old.max(initial=0)) + 1
    fresh = max(n_old, first_fresh)
    renamed = np.zeros(int(new.max(initial=0)) + 1, np.uint32)
    is_both = (new > 0) & (old > 0)
    # one number for each pair: rows of two would be sorted fifty times slower
    codes = new[is_both].astype(np.int64) * n_old + old[is_both]
    pairs, n_px = np.unique(codes, return_counts=True)
    taken: set[int] = set()
    for number in np.argsort(-n_px, kind="stable"):
        mine, its = divmod(int(pairs[number]), n_old)
        if not renamed[mine] and its not in taken:
            renamed[mine] = its
            taken.add(its)
    lonely = ids[renamed[ids] == 0]
    renamed[lonely] = np.arange(fresh, fresh + len(lonely), dtype=np.uint32)
    result: NDArray[np.uint32] = renamed[new]
    return result
