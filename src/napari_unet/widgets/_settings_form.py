"""A form for settings: magicgui's widgets, made from the pydantic fields."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, get_origin

from magicgui.widgets import Container, Label, create_widget
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from qtpy.QtWidgets import QAbstractSpinBox, QSizePolicy

from napari_unet.config import LearnerConfig
from napari_unet.errors import ConfigError
from napari_unet.widgets._parts import set_part

__all__ = ["SettingsForm"]


class SettingsForm:
    """Widgets for some of a learner's settings, in groups.

    Parameters
    ----------
    config
        What to show first.
    groups
        Headline -> names of settings with their section, such as
        ``"fine_tune.learning_rate"``. A section's name stands for all of its fields.
    """

    def __init__(
        self, config: LearnerConfig, groups: Mapping[str, tuple[str, ...]]
    ) -> None:
        self.widgets: dict[str, Any] = {}
        rows: list[Any] = []
        for headline, names in groups.items():
            rows.append(Label(value=headline))
            set_part(rows[-1].native, "caption")
            rows[-1].native.setSizePolicy(
                QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Preferred
            )
            for name in _expand(config, names):
                widget = self.widgets[name] = _widget(name, config)
                rows.append(widget)
                if isinstance(widget.native, QAbstractSpinBox):
                    # else the first digit of 256, too small, is mended at once
                    widget.native.setKeyboardTracking(False)
        self._container: Any = Container(widgets=rows, labels=True)
        self.native = self._container.native
        self.native.layout().setContentsMargins(0, 0, 2, 0)  # the dock has its own
        self.align()
        self.show(config)

    def align(self) -> None:
        """Let all fields begin at the same place."""
        lines = [w.native.parentWidget().layout() for w in self.widgets.values()]
        captions = [layout.itemAt(0).widget() for layout in lines]
        width_px = max(caption.sizeHint().width() for caption in captions)
        for caption in captions:
            caption.setFixedWidth(width_px)

    def show(self, config: LearnerConfig) -> None:
        """Show other settings."""
        self._config = config
        for name, widget in self.widgets.items():
            widget.value = _get(config, name)
        # rounded to the digits that there is room for: what nobody touches stays exact
        self._shown = {name: widget.value for name, widget in self.widgets.items()}

    @property
    def config(self) -> LearnerConfig:
        """The settings as they stand in the form.

        Raises
        ------
        ConfigError
            If a value is out of range; the message names the first one.
        """
        values = self._config.model_dump()
        for name, widget in self.widgets.items():
            section, _, field = name.rpartition(".")
            if widget.value != self._shown[name]:
                (values[section] if section else values)[field] = widget.value
        try:
            return LearnerConfig.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise ConfigError(f"setting '{where}': {first['msg']}") from error


def _expand(config: BaseModel, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        value = _get(config, name)
        if isinstance(value, BaseModel):
            yield from (f"{name}.{field}" for field in type(value).model_fields)
        else:
            yield name


def _get(config: BaseModel, name: str) -> Any:
    value: Any = config
    for part in name.split("."):
        value = getattr(value, part)
    return value


def _field(config: BaseModel, name: str) -> FieldInfo:
    section, _, last = name.rpartition(".")
    model = _get(config, section) if section else config
    return type(model).model_fields[last]


def _widget(name: str, config: BaseModel) -> Any:
    """Return the widget of a setting: title as label, description as tooltip."""
    field = _field(config, name)
    options: dict[str, Any] = {"tooltip": field.description}
    if get_origin(field.annotation) is None and field.annotation in (int, float):
        options |= _range(field)
    return create_widget(
        value=_get(config, name),
        annotation=field.annotation,
        name=name.replace(".", "_"),
        label=field.title,
        options=options,
    )


def _range(field: FieldInfo) -> dict[str, float]:
    """Return bounds and step of a number; open bounds are one step inside."""
    bounds: dict[str, float] = {}
    for item in field.metadata:
        for kind in ("ge", "gt", "le", "lt", "multiple_of"):
            if hasattr(item, kind):
                bounds[kind] = getattr(item, kind)
    top = bounds.get("le", bounds.get("lt", 1.0))
    if field.annotation is int:
        step = bounds.get("multiple_of", 1)
    elif field.default:
        step = 10.0 ** min(0, math.floor(math.log10(field.default)) - 1)
    else:
        step = min(1.0, top / 100)
    low = bounds["ge"] if "ge" in bounds else bounds["gt"] + step
    high = bounds["le"] if "le" in bounds else bounds["lt"] - step
    return {"min": low, "max": high, "step": step}
