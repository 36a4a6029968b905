"""Rounds of a project: the model of each, its score, and which to keep."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from napari_unet.config._base import Settings
from napari_unet.core.atomic import file_error, replace_file
from napari_unet.errors import FileError, ProjectError
from napari_unet.jobs import Score

__all__ = ["Round", "Rounds"]

_MAX_BYTES = 2**24


class Round(Settings):
    """One turn of annotating, learning and correcting, and the model it ended with."""

    number: int = Field(ge=1, le=10**9)
    time: datetime
    chosen: str = Field(max_length=100)
    """The candidate that was shown."""
    scores: dict[str, Score] = Field(default_factory=dict)
    """Held-out scores by candidate."""
    step: int = Field(0, ge=0)
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Steps and seconds of training so far."""
    n_px: int = Field(0, ge=0)
    n_strokes: int = Field(0, ge=0)
    """What had been painted."""
    n_images: int = Field(0, ge=0)
    n_bytes: int = Field(0, ge=0)
    note: str = Field("", max_length=2000)
    is_pinned: bool = False
    """Never deleted to save space."""

    @property
    def score(self) -> Score | None:
        """The held-out score of what was shown."""
        return self.scores.get(self.chosen)

    @property
    def mean_iou(self) -> float | None:
        """Held-out mean IoU of what was shown; None where nothing was held out."""
        return None if self.score is None else self.score.mean_iou


class _Table(Settings):
    rounds: tuple[Round, ...] = ()


class Rounds:
    """The rounds in a folder: ``rounds.json`` and a model file for each.

    Raises
    ------
    ProjectError
        If what is written about them cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._table = folder / "rounds.json"
        self._aside: dict[int, tuple[Round, Path]] = {}
        self._rounds = self._read()

    def __len__(self) -> int:
        return len(self._rounds)

    def __iter__(self) -> Iterator[Round]:
        return iter(self._rounds)

    @property
    def newest(self) -> Round | None:
        """The last round, if there is one."""
        return self._rounds[-1] if self._rounds else None

    @property
    def best(self) -> Round | None:
        """The round with the highest held-out IoU, the newest of equals.

        The newest, because it has learned from more strokes at the same score. Scores
        of different strokes are compared: a hint, not a measurement.
        """
        scored = [r for r in self._rounds if r.mean_iou is not None]
        return max(scored, key=lambda r: (r.mean_iou or 0, r.number), default=None)

    @property
    def n_bytes(self) -> int:
        """What their models take on the disk."""
        return sum(r.n_bytes for r in self._rounds)

    def __contains__(self, number: object) -> bool:
        return any(r.number == number for r in self._rounds)

    def get(self, number: int) -> Round:
        """Return a round by its number.

        Raises
        ------
        ProjectError
            If there is none.
        """
        for found in self._rounds:
            if found.number == number:
                return found
        raise ProjectError(f"there is no round {number} in {self._folder}")

    def model(self, number: int) -> Path:
        """Return the file of a round's model."""
        return self._folder / f"round-{number:04d}.safetensors"

    def add(self, save: Callable[[Path], None], facts: Mapping[str, Any]) -> Round:
        """Keep a model as the newest round.

        Parameters
        ----------
        save
            Writes the model to the path it is given, all or nothing.
        facts
            The other fields of `Round`.

        Raises
        ------
        ProjectError, FileError
            If it cannot be written; then there is no such round.
        """
        numbers = [*(r.number for r in self._rounds), *self._aside]
        number = 1 + max(numbers, default=0)
        path = self.model(number)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ProjectError(str(file_error(error, path))) from error
        save(path)
        new = Round(
            number=number,
            time=datetime.now().astimezone(),
            n_bytes=path.stat().st_size,
            **facts,
        )
        self._write((*self._rounds, new))
        return new

    def change(self, number: int, **changes: Any) -> Round:
        """Change the note of a round, or whether it is pinned."""
        changed = Round(**{**self.get(number).model_dump(), **changes})
        self._write(tuple(changed if r.number == number else r for r in self._rounds))
        return changed

    def delete(self, number: int) -> None:
        """Delete a round and its model."""
        self.get(number)
        self._write(tuple(r for r in self._rounds if r.number != number))
        with suppress(OSError):  # at worst the file is left, and known to nobody
            self.model(number).unlink(missing_ok=True)

    def set_aside(self, number: int) -> None:
        """Delete a round so that `bring_back` can undo it until the project closes.

        Raises
        ------
        ProjectError
            If there is none, or it cannot be moved.
        """
        gone, model = self.get(number), self.model(number)
        aside = model.with_name(f".{model.stem}.{secrets.token_hex(4)}{model.suffix}")
        self._write(tuple(r for r in self._rounds if r.number != number))
        _move(model, aside)  # a name that opening the project sweeps away
        self._aside[number] = gone, aside

    def bring_back(self, number: int) -> None:
        """Undo `set_aside`.

        Raises
        ------
        ProjectError
            If it is gone for good, or cannot be moved.
        """
        if number not in self._aside:
            raise ProjectError(f"the round {number} is gone for good")
        back, aside = self._aside[number]
        _move(aside, self.model(number))
        del self._aside[number]
        self._write(tuple(sorted((*self._rounds, back), key=lambda r: r.number)))

    def forget_aside(self) -> None:
        """Delete what was set aside: the project closes."""
        for _, path in self._aside.values():
            with suppress(OSError):
                path.unlink(missing_ok=True)
        self._aside.clear()

    def prune(self, max_bytes: int) -> list[int]:
        """Delete the oldest rounds until the rest fits; return their numbers.

        The newest, the best and those that are pinned stay.
        """
        spared = {r.number for r in (self.newest, self.best) if r is not None}
        gone = []
        for old in self._rounds:
            if self.n_bytes <= max_bytes:
                break
            if old.number not in spared and not old.is_pinned:
                self.delete(old.number)
                gone.append(old.number)
        return gone

    def _read(self) -> tuple[Round, ...]:
        try:
            with open(self._table, "rb") as file:
                text = file.read(_MAX_BYTES + 1)
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise ProjectError(
                f"{self._table} cannot be read: {error.strerror}"
            ) from error
        try:
            if len(text) > _MAX_BYTES:
                raise ValueError
            rounds = _Table.model_validate_json(text).rounds
        except (ValidationError, ValueError) as error:
            raise ProjectError(
                f"{self._table} is damaged: move it away, and the project opens "
                "without its rounds; their model files stay"
            ) from error
        return tuple(r for r in rounds if self.model(r.number).exists())

    def _write(self, rounds: tuple[Round, ...]) -> None:
        text = _Table(rounds=rounds).model_dump_json(indent=1)
        json.loads(text)  # NaN would be no JSON
        try:
            with replace_file(self._table) as temporary:
                temporary.write_text(text, encoding="utf-8")
        except FileError as error:
            raise ProjectError(str(error)) from error
        self._rounds = rounds


def _move(source: Path, target: Path) -> None:
    try:
        os.replace(source, target)
    except OSError as error:
        raise ProjectError(str(file_error(error, target))) from error
