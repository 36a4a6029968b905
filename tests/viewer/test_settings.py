"""The settings' form, and the way of its values to the job."""

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from napari_unet.config import LearnerConfig
from napari_unet.errors import ConfigError
from napari_unet.jobs import SettingsRefused
from napari_unet.widgets._settings_form import SettingsForm
from napari_unet.widgets.settings import SettingsDock

EVERYTHING = {"All": ("fine_tune", "augmentation", "instant.n_trees", "start", "seed")}


@pytest.fixture
def form(qtbot):
    made = SettingsForm(LearnerConfig(), EVERYTHING)
    qtbot.addWidget(made.native)
    return made


def test_the_form_shows_and_gives_what_is_set(form):
    config = LearnerConfig(
        seed=7,
        start="scratch",
        fine_tune={"learning_rate": 2.5e-4, "patch_px": 192, "class_balance": "root"},
        augmentation={"flip": False, "contrast": 0.37},
    )
    assert form.config == LearnerConfig()
    form.show(config)
    assert form.config == config


def test_every_field_of_a_section_has_its_title_and_meaning(form):
    fields = type(LearnerConfig().fine_tune).model_fields
    for name, field in fields.items():
        widget = form.widgets[f"fine_tune.{name}"]
        assert widget.label == field.title
        assert widget.tooltip == field.description


def test_ranges_come_from_the_settings(form):
    decay = form.widgets["fine_tune.average_decay"]
    assert 0 <= decay.min < decay.max < 1
    rate = form.widgets["fine_tune.learning_rate"]
    assert 0 < rate.min <= 1e-4
    patch = form.widgets["fine_tune.patch_px"]
    assert (patch.min, patch.max, patch.step) == (16, 1024, 16)


def test_settings_that_are_finer_than_the_form_stay_as_they_are(qtbot):
    config = LearnerConfig(fine_tune={"stay_weight": 0.123456})
    form = SettingsForm(config, {"": ("fine_tune.stay_weight", "seed")})
    qtbot.addWidget(form.native)
    form.widgets["seed"].value = 2
    assert form.config == config.model_copy(update={"seed": 2})


@pytest.mark.parametrize("text", ["64", "96", "256", "320"])
def test_a_number_can_be_typed_digit_by_digit(form, text):
    widget = form.widgets["fine_tune.patch_px"]
    widget.native.selectAll()
    QTest.keyClicks(widget.native, text)
    QTest.keyClick(widget.native, Qt.Key.Key_Return)
    assert widget.value == int(text)


def test_what_fits_no_setting_is_named(form):
    form.widgets["fine_tune.patch_px"].value = 100
    with pytest.raises(ConfigError, match=r"fine_tune\.patch_px.*multiple of 16"):
        _ = form.config


@pytest.fixture
def case(painted, qtbot):
    """The dock on painted blobs, and the settings beside it."""
    made = painted()
    made.settings = SettingsDock(made.viewer)
    qtbot.addWidget(made.settings)
    return made


def test_apply_is_offered_for_other_settings_alone(case):
    settings = case.settings
    assert not settings.apply.isEnabled()
    settings.form.widgets["seed"].value = 3
    assert settings.apply.isEnabled()
    assert "begins again" in settings.note.text()
    settings.form.widgets["fine_tune.patch_px"].value = 100
    assert not settings.apply.isEnabled()
    assert "multiple of 16" in settings.note.text()
    settings.defaults.click()
    assert not settings.apply.isEnabled()
    assert settings.note.text() == "These settings are in use."


def test_applied_settings_reach_the_job_and_learning_begins_again(case, qtbot):
    case.state.learn(True)
    qtbot.waitUntil(lambda: case.state.session.step > 0)
    case.settings.form.widgets["fine_tune.batch_size"].value = 2
    case.settings.apply.click()
    (config,) = case.live.inbox.calls("set_config")[-1]
    assert config.fine_tune.batch_size == 2
    assert case.state.config == config
    assert not case.settings.apply.isEnabled()


def test_a_new_job_is_told_the_settings(case, qtbot):
    case.state.set_config(LearnerConfig(seed=5))
    case.state.live.stop()
    case.layer.paint((60, 60), 1)
    case.state.update_now()
    assert case.live.inbox.calls("set_config") == [(LearnerConfig(seed=5),)]


def test_refused_settings_are_not_in_use(case, qtbot):
    case.settings.form.widgets["device"].value = "cuda"
    case.settings.apply.click()
    case.state.live._on_received(SettingsRefused())  # as the job says without a GPU
    assert case.state.config == LearnerConfig()
    assert "Not in use" in case.settings.note.text()
    assert case.live.inbox.calls("refresh")


def test_stacks_are_learned_in_3d_with_the_layer_s_voxels(painted, blobs, qtbot):
    """The setting and the planes' distance reach the job."""
    case = painted(image=np.stack([blobs] * 3))
    settings = SettingsDock(case.viewer)
    qtbot.addWidget(settings)
    case.viewer.layers["blobs"].scale = case.layer.scale = (0.6, 0.2, 0.2)
    settings.form.widgets["dimensions"].value = "3d"
    settings.apply.click()
    (config,) = case.live.inbox.calls("set_config")[-1]
    assert (config.dimensions, config.voxel_anisotropy) == ("3d", None)
    n_told = len(case.live.inbox.scales)
    case.layer.paint((0, 60, 60), 1)
    qtbot.waitUntil(lambda: len(case.live.inbox.scales) > n_told)
    assert case.live.inbox.scales[-1] == (0.6, 0.2, 0.2)
