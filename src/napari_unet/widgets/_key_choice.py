"""Keys as a person chose them in napari's preferences, where they can be used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

from napari.components import ViewerModel
from napari.layers import Image, Labels
from napari.settings import get_plugin_settings
from napari.utils.key_bindings import coerce_keybinding

__all__ = ["choose_keys", "keys_of_napari", "wanted_keys"]

_WHERE = "File > Preferences > U-Net"


def wanted_keys() -> dict[str, str]:
    """Return action -> key as the preferences have them; empty where there are none.

    There are none where napari does not know the plugin, as in a test without it.
    """
    try:
        keys = get_plugin_settings("napari-unet").keys
    except (AttributeError, KeyError):
        return {}
    return {str(name): str(key) for name, key in keys.model_dump().items()}


def keys_of_napari() -> set[str]:
    """Return the keys that napari has for images, labels and the viewer, as now set.

    It binds them when it makes its first window.
    """
    providers = (ViewerModel, Image, Labels)
    return {str(key) for provider in providers for key in provider.class_keymap}


def choose_keys(
    defaults: Mapping[str, str],
    wanted: Mapping[str, str],
    taken: Collection[str],
    titles: Mapping[str, str],
) -> tuple[dict[str, str], list[str]]:
    """Return the key of each action, and a sentence for each that cannot be used.

    Parameters
    ----------
    defaults
        Action -> key; no key twice, and none of them in ``taken``.
    wanted
        Action -> key as somebody typed it. Actions that are missing keep the default.
    taken
        Keys that are somebody else's.
    titles
        Action -> what it does, as the preferences name it.
    """
    keys, complaints = dict(defaults), []
    for name, default in defaults.items():
        typed = wanted.get(name, default)
        key, problem = _one_key(typed)
        if not problem and key != default and key in taken:
            problem = "is napari's own"
        if problem:
            complaints.append(_sentence(titles[name], typed, problem, default))
        else:
            keys[name] = key
    while True:  # ends: the defaults differ, and each turn puts one of them back
        n_uses = Counter(keys.values())
        twice = [name for name, key in keys.items() if n_uses[key] > 1]
        changed = [name for name in twice if keys[name] != defaults[name]]
        if not changed:
            return keys, complaints
        for name in changed:
            problem = "is the key of something else too"
            default = defaults[name]
            complaints.append(_sentence(titles[name], keys[name], problem, default))
            keys[name] = defaults[name]


def _one_key(typed: str) -> tuple[str, str]:
    """Return a key as napari writes it, or what is wrong with it."""
    typed = typed.strip()
    if not typed:
        return "", "is no key"
    binding = coerce_keybinding(typed)
    key = str(binding)
    if len(binding.parts) != 1 or not key or binding.parts[0].is_modifier_key():
        return "", "is no key"
    part = binding.parts[0]
    if part.ctrl or part.alt or part.meta:
        return "", "has Ctrl, Alt or Meta, which are for menus and classes"
    return key, ""


def _sentence(title: str, typed: str, problem: str, default: str) -> str:
    return (
        f"The key '{typed}' for '{title}' {problem}: {default} is used. Choose a free "
        f"key, alone or with Shift, in {_WHERE}"
    )
