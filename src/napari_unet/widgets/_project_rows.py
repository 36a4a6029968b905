"""What the dock *Project* lists: images and rounds, described on the worker."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import datetime

from napari_unet.errors import NapariUnetError
from napari_unet.jobs import CANDIDATE_NAMES, JobEvent, Score
from napari_unet.project import PREDICTIONS, Project, ProjectImage
from napari_unet.project.notes import read_uncertainty
from napari_unet.project.references import find_file, is_remote
from napari_unet.project.rounds import Round
from napari_unet.widgets._project_files import thumbnail

__all__ = [
    "FILTERS",
    "ImageDetailed",
    "ImageRow",
    "ImagesListed",
    "RoundRow",
    "RoundsListed",
    "detail_image",
    "is_passed",
    "list_images",
    "list_rounds",
    "painted_text",
    "summary_text",
    "unsure_text",
]

FILTERS = ("all", "todo", "annotated", "corrected", "done", "missing")
"""What the list can be narrowed to."""


@dataclass(frozen=True)
class ImageRow:
    """One line of the list of images."""

    number: int
    name: str
    status: str
    """todo, annotated, corrected or done."""
    is_missing: bool
    place: str
    """Its file, in words."""
    n_px: int | None = None
    """Painted pixels; None: not counted yet."""
    unsure: float | None = None
    """How unsure its prediction is, 0..1; None: `project predict` has seen none."""

    @property
    def badge(self) -> str:
        """The word to show: its status, or that it is missing."""
        return "missing" if self.is_missing else self.status

    @property
    def is_done(self) -> bool:
        """Whether a person said so."""
        return self.status == "done"


@dataclass(frozen=True)
class RoundRow:
    """One line of the list of rounds."""

    number: int
    time: datetime
    chosen: str
    score: Score | None
    step: int
    n_bytes: int
    note: str
    is_pinned: bool
    is_best: bool

    @property
    def score_text(self) -> str:
        """Held-out IoU with its n, such as ``"IoU 0.87 (n = 412 px)"``."""
        if self.score is None or self.score.mean_iou is None:
            return "no score"
        return f"IoU {self.score.mean_iou:.2f} (n = {self.score.n_px:,} px)"

    @property
    def details(self) -> str:
        """What was shown, after how much training, its size, and the note."""
        shown = CANDIDATE_NAMES.get(self.chosen, self.chosen)
        parts = [shown, f"{self.step:,} steps", f"{self.n_bytes / 1e6:.1f} MB"]
        return " · ".join([*parts, self.note] if self.note else parts)

    @property
    def tip(self) -> str:
        """All of it in words."""
        held_out = "" if self.score is None else f"\n{self.score.text}"
        return f"{self.time:%Y-%m-%d %H:%M}\n{self.details}{held_out}"


@dataclass(frozen=True)
class ImagesListed(JobEvent):
    """All images of the project, in their order; painted pixels come one by one."""

    rows: tuple[ImageRow, ...]


@dataclass(frozen=True)
class ImageDetailed(JobEvent):
    """One image, with its painted pixels and its thumbnail (PNG, empty: none)."""

    row: ImageRow
    picture: bytes


@dataclass(frozen=True)
class RoundsListed(JobEvent):
    """The rounds, the newest first; what they take, and what they may take."""

    rows: tuple[RoundRow, ...]
    n_bytes: int
    max_bytes: int


def list_images(project: Project) -> Generator[JobEvent, None, None]:
    """Say which images there are, and which of them are missing."""
    unsure = read_uncertainty(project.folder / PREDICTIONS)
    rows = (_row(project, i, unsure=unsure.get(i.number)) for i in project.images)
    yield ImagesListed(tuple(rows))


def detail_image(project: Project, number: int) -> Generator[JobEvent, None, None]:
    """Count what is painted on an image, and make its thumbnail."""
    image = project.record.image(number)
    if image.is_removed:
        return
    labels = project.annotation(number, project.record.mode)
    tiles = () if labels is None else labels.tiles.values()
    n_px = sum(int((tile != 0).sum()) for tile in tiles)
    try:
        picture = thumbnail(project, number)
    except NapariUnetError:
        picture = b""  # the list does without; opening it says why
    unsure = read_uncertainty(project.folder / PREDICTIONS).get(number)
    yield ImageDetailed(_row(project, image, n_px, unsure), picture)


def list_rounds(project: Project) -> Generator[JobEvent, None, None]:
    """Say which rounds there are."""
    rounds = project.rounds
    best = rounds.best
    rows = [_round_row(r, best is not None and r is best) for r in rounds]
    budget = project.record.max_rounds_mb * 1_000_000
    yield RoundsListed(tuple(rows[::-1]), rounds.n_bytes, budget)


def is_passed(row: ImageRow, chosen: str, text: str = "") -> bool:
    """Whether a filter lets an image through."""
    is_named = text.casefold() in row.name.casefold()
    return is_named and chosen in ("all", row.status, row.badge)


def painted_text(n_px: int | None) -> str:
    """Return how much is painted, such as ``"1,204 px"``."""
    if n_px is None:
        return ""
    return f"{n_px:,} px" if n_px else "not painted"


def unsure_text(unsure: float | None) -> str:
    """Return how unsure a prediction is, such as ``"unsure 0.23 · "``."""
    return "" if unsure is None else f"unsure {unsure:.2f} · "


def summary_text(rows: Sequence[ImageRow]) -> str:
    """Return how far the work is, such as ``"3 of 12 images done, 4 painted"``."""
    n_done = sum(row.is_done for row in rows)
    n_painted = sum(bool(row.n_px) for row in rows)
    n_missing = sum(row.is_missing for row in rows)
    text = f"{n_done:,} of {len(rows):,} images done, {n_painted:,} painted"
    return f"{text}, {n_missing:,} missing" if n_missing else text


def _row(
    project: Project,
    image: ProjectImage,
    n_px: int | None = None,
    unsure: float | None = None,
) -> ImageRow:
    is_missing = not (
        image.path is None
        or is_remote(image.path)
        or find_file(image, project.folder) is not None
    )
    place = image.absolute_path or image.path or "in no file; known by its pixels"
    if not image.annotation:
        n_px = 0
    status = image.status
    return ImageRow(image.number, image.name, status, is_missing, place, n_px, unsure)


def _round_row(kept: Round, is_best: bool) -> RoundRow:
    return RoundRow(
        number=kept.number,
        time=kept.time.astimezone(),
        chosen=kept.chosen,
        score=kept.score,
        step=kept.step,
        n_bytes=kept.n_bytes,
        note=kept.note,
        is_pinned=kept.is_pinned,
        is_best=is_best,
    )
