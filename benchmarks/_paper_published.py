"""What was published on these sets, to stand beside our figures.

Fixed, and only what has a source. None of it compares with ours: other splits, other
truths, other budgets.
"""

from __future__ import annotations

from _tables import table

__all__ = ["PUBLISHED", "published_table"]

_UNET = "Ronneberger et al. 2015, arXiv:1505.04597"
_EM = "the challenge's 30 test sections; their labels are not public"
_CTC = "the challenge's test sequences"

PUBLISHED = (
    ("ISBI 2012 EM", "warping error", "U-Net", "0.000353", _UNET, _EM),
    ("ISBI 2012 EM", "Rand error", "U-Net", "0.0382", _UNET, _EM),
    ("ISBI 2012 EM", "pixel error", "U-Net", "0.0611", _UNET, _EM),
    ("DIC-HeLa", "SEG", "U-Net", "0.7756", _UNET, _CTC),
    (
        "PhC-U373",
        "SEG",
        "U-Net",
        "0.9203",
        _UNET,
        f"{_CTC}; our phase contrast set is another laboratory's",
    ),
    (
        "DSB 2018",
        "AP 0.5..0.95",
        "winner of 3,891 teams",
        "0.631",
        "Caicedo et al. 2019, doi:10.1038/s41592-019-0612-7",
        "the competition's second stage, of many kinds of images",
    ),
)
"""Set, measure, method, value, source, and what it was measured on."""


def published_table() -> list[str]:
    """Return the figures with their sources."""
    header = ["set", "measure", "method", "value", "source", "measured on"]
    return [
        *table(header, PUBLISHED),
        "",
        "None of these compares with the tables above: other images were trained on "
        "and tested. Our EM figures are of a part of the challenge's *training* stack, "
        "our HeLa truth is the challenge's silver truth (made by programs).",
    ]
