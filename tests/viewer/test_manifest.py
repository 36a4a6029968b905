"""The plugin as napari finds it."""

import importlib
from pathlib import Path

import npe2
import pytest
from napari.utils.events import EventedModel

import napari_unet
from napari_unet.export import FORMATS


@pytest.fixture(scope="module")
def manifest():
    path = Path(napari_unet.__file__).with_name("napari.yaml")
    return npe2.PluginManifest.from_file(path)


def test_every_command_leads_to_code(manifest):
    manifest.validate_imports()
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(importlib.import_module(module), name))


def test_every_contribution_has_its_command(manifest):
    known = {command.id for command in manifest.contributions.commands}
    contributions = manifest.contributions
    used = [
        item.command
        for item in (
            *contributions.widgets,
            *contributions.sample_data,
            *contributions.readers,
            *contributions.writers,
        )
    ]
    menu = contributions.menus["napari/layers/segment"]
    used += [item.command for item in menu]
    assert set(used) == known
    titles = {widget.display_name for widget in contributions.widgets}
    assert titles == {
        "Interactive segmentation",
        "Project",
        "Learning curves",
        "Export labels",
        "Measurements",
        "Settings",
        "Proofread",
        "Import labels",
    }


@pytest.mark.parametrize("key", ["nuclei", "tissue"])
def test_samples_open_with_their_strokes(manifest, key):
    from napari.layers import Layer

    command = f"napari-unet.{key}"
    names = {c.id: c.python_name for c in manifest.contributions.commands}
    module, name = names[command].split(":")
    image, strokes = (
        Layer.create(*data) for data in getattr(importlib.import_module(module), name)()
    )
    assert image.rgb == (key == "tissue")
    assert strokes.data.shape == image.data.shape[:2]
    assert set(strokes.data.ravel()) >= {0, 1, 2}


def test_every_format_can_be_saved(manifest):
    suffixes = [
        tuple(writer.filename_extensions) for writer in manifest.contributions.writers
    ]
    known = [each.suffixes for each in FORMATS.values() if not each.is_table]
    assert suffixes == known


def test_the_preferences_have_every_key(manifest):
    from napari_unet.widgets._keys import ACTIONS

    properties = manifest.contributions.configurations["keys"].properties
    assert list(properties) == list(ACTIONS)
    for name, entry in properties.items():
        key, does = ACTIONS[name]
        assert entry.default == key
        assert entry.title == does[0].upper() + does[1:]
        # napari 0.9 makes them attributes of a model, whose own they must not hide
        assert not hasattr(EventedModel, name)
