"""Write the pages of the reference that the program itself knows best.

Commands and options come from the parser, settings from their fields, keys from the
table that binds them, examples from their files::

    python docs/make_reference.py

Tests compare the files with what this script makes, so that they cannot grow old.
"""

from __future__ import annotations

import argparse
import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

FOLDER = Path(__file__).parent / "reference"
MADE = "<!-- made by docs/make_reference.py: change the program, not this page -->"


def main() -> int:
    """Write the pages."""
    FOLDER.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        (FOLDER / name).write_text(make(), encoding="utf-8")
        print(FOLDER / name)
    return 0


# -- command line --------------------------------------------------------------------


def cli_page() -> str:
    """Return the page of all commands and their options."""
    from napari_unet.cli._main import build_parser

    parser = build_parser()
    parts = [
        "# Command line",
        MADE,
        plain(parser.description),
        f"{plain(parser.epilog)}\n\nOn several GPUs, `torchrun --nproc-per-node N -m "
        "napari_unet.cli` takes the place of `napari-unet` before `train` and `project "
        "train`.",
    ]
    for command in commands_of(parser):
        parts.extend(command_section(command, 2))
    return "\n\n".join(parts) + "\n"


def commands_of(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers of a parser's commands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from action.choices.values()


def command_section(parser: argparse.ArgumentParser, level: int) -> Iterator[str]:
    """Yield headline, description, call and table of options of a command."""
    yield f"{'#' * level} {parser.prog.removeprefix('napari-unet ')}"
    yield plain(parser.description)
    commands = list(commands_of(parser))
    if commands:
        for command in commands:
            yield from command_section(command, level + 1)
        return
    actions = [a for a in parser._actions if not isinstance(a, argparse._HelpAction)]
    needed = [call_of(a) for a in actions if a.required or not a.option_strings]
    optional = ["[options]"] if len(needed) < len(actions) else []
    yield f"```\n{' '.join([parser.prog, *needed, *optional])}\n```"
    rows = [f"| {code(call_of(a))} | {option_text(a)} |" for a in actions]
    yield "\n".join(["| option | |", "|---|---|", *rows])


def call_of(action: argparse.Action) -> str:
    """Return how an option is written, with what follows it."""
    name = action.option_strings[-1] if action.option_strings else ""
    if isinstance(action.metavar, str):
        value = action.metavar
    elif action.choices is not None:
        value = ",".join(map(str, action.choices)).join("{}")
    else:
        value = action.dest.upper()
    if action.nargs == 0:
        value = ""
    elif action.nargs in ("+", "*"):
        value += " ..."
    elif action.nargs == "?":
        value = f"[{value}]"
    return f"{name} {value}".strip()


def code(text: str) -> str:
    """Return a text as code in a table, where a bar would end the cell."""
    return f"<code>{text.replace('|', '&#124;')}</code>" if "|" in text else f"`{text}`"


def option_text(action: argparse.Action) -> str:
    """Return what an option means, and whether it has to be given."""
    text = plain(action.help)
    if action.required and action.option_strings:
        text = f"{text} (required)" if text else "required"
    return text.replace("|", "\\|")


def plain(text: str | None) -> str:
    """Return a help text as it is shown, safe for a page."""
    shown = (text or "").replace("%%", "%")
    return shown.replace("<", "&lt;").replace("*", "\\*")


# -- settings ------------------------------------------------------------------------


def settings_page() -> str:
    """Return the page of all settings."""
    from napari_unet.config import (
        ClusterConfig,
        InstanceConfig,
        LearnerConfig,
        UNetConfig,
    )

    parts = [
        "# Settings",
        MADE,
        "What can be set, with its default and its bounds. `LearnerConfig` is what "
        "`Learner(...)` takes, what `train --config FILE` reads as JSON, and what is "
        "saved with a model; the dock *Settings* offers much of it. A section is a "
        'JSON object of its own: `{"seed": 1, "fine_tune": {"patch_px": 256}}`. '
        "Unknown names and values out of bounds are refused with a sentence.",
    ]
    for model in (LearnerConfig, InstanceConfig, UNetConfig, ClusterConfig):
        parts.extend(model_sections(model, model.__name__, 2))
    return "\n\n".join(parts) + "\n"


def model_sections(model: type[BaseModel], title: str, level: int) -> Iterator[str]:
    """Yield headline, meaning and table of a model, then those of its sections."""
    fields = model.model_fields
    sections = {name: f for name, f in fields.items() if is_model(f.annotation)}
    single = {name: f for name, f in fields.items() if name not in sections}
    yield f"{'#' * level} {title}"
    yield plain(
        (model.__doc__ or "").strip().partition("\n\n")[0].replace("\n    ", " ")
    )
    rows = [field_row(name, field) for name, field in single.items() if field.title]
    yield "\n".join(["| setting | default | values | |", "|---|---|---|---|", *rows])
    for name, field in sections.items():
        assert is_model(field.annotation)
        yield from model_sections(field.annotation, name, level + 1)


def is_model(annotation: Any) -> bool:
    """Whether a field holds further settings."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def field_row(name: str, field: FieldInfo) -> str:
    """Return a field's row: name, default, bounds, and title with description."""
    default = "required" if field.is_required() else shown(field.default)
    meaning = f"**{field.title}.** {plain(field.description)}".replace("|", "\\|")
    return f"| `{name}` | {default} | {bounds_of(field)} | {meaning} |"


def shown(value: Any) -> str:
    """Return a default as JSON writes it; None as 'automatic'."""
    if value is None:
        return "automatic"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    return f'`"{value}"`' if isinstance(value, str) else f"`{value}`"


def bounds_of(field: FieldInfo) -> str:
    """Return the values that a field may have, in words."""
    choices = choices_of(field.annotation)
    if choices:
        return ", ".join(shown(choice) for choice in choices)
    words = {"ge": "from {}", "gt": "above {}", "le": "to {}", "lt": "below {}"}
    words["multiple_of"] = "in steps of {}"
    found = [
        text.format(getattr(item, name))
        for item in field.metadata
        for name, text in words.items()
        if getattr(item, name, None) is not None
    ]
    if is_flag(field.annotation):
        return "`true`, `false`"
    return " ".join(found)


def choices_of(annotation: Any) -> list[Any]:
    """Return what a Literal allows; nothing for other types."""
    from typing import Literal

    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for inner in get_args(annotation) for value in choices_of(inner)]


def is_flag(annotation: Any) -> bool:
    """Whether a field is true or false."""
    return annotation is bool


# -- keys ----------------------------------------------------------------------------


def keys_page() -> str:
    """Return the page of keys."""
    from napari_unet.widgets._keys import DEFAULT_KEYS, key_help

    rows = [f"| `{key}` | {meaning} |" for key, meaning in key_help(DEFAULT_KEYS)]
    parts = [
        "# Keys",
        MADE,
        "They work while the canvas has the focus: click into the image once. Buttons "
        "in the docks show theirs, and the question mark in the dock shows this table. "
        "A script that had bound one of them gets it back when the dock is closed.",
        "To change them: *File > Preferences > U-Net*, a letter, a digit or a sign, "
        "alone or with Shift; buttons, tips and help page show the new ones when "
        "napari starts again. A key that napari uses itself, or that is there twice, "
        "is refused with a sentence, and the one below stays. The keys of classes, and "
        "napari's own, are not among them.",
        "\n".join(["| key | |", "|---|---|", *rows]),
    ]
    return "\n\n".join(parts) + "\n"


# -- examples ------------------------------------------------------------------------


def examples_page() -> str:
    """Return the page with the programs in docs/examples."""
    parts = [
        "# Examples",
        MADE,
        "Programs of a page, which the tests run. They need no window, take some "
        "seconds on a laptop, work on the sample, and write into the current folder. "
        "In a clone: `python docs/examples/learn_from_strokes.py`. The loop as a "
        "notebook, with pictures: [`loop.ipynb`](../examples/loop.ipynb).",
    ]
    for path in sorted((FOLDER.parent / "examples").glob("*.py")):
        code = path.read_text(encoding="utf-8")
        title, _, rest = (ast.get_docstring(ast.parse(code)) or "").partition("\n")
        parts.append(f"## {title.rstrip('.')}")
        parts.append(f"[`{path.name}`](../examples/{path.name})")
        if rest.strip():
            parts.append(" ".join(rest.split()))
        body = code.split('"""', 2)[2].strip()
        parts.append(f"```python\n{body}\n```")
    return "\n\n".join(parts) + "\n"


PAGES = {
    "cli.md": cli_page,
    "settings.md": settings_page,
    "keys.md": keys_page,
    "examples.md": examples_page,
}

if __name__ == "__main__":
    raise SystemExit(main())
