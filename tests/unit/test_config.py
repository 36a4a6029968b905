"""Settings explain themselves: each text is a tooltip, without other texts at hand."""

import pytest
from pydantic import ValidationError

from napari_unet import config
from napari_unet.config import (
    FineTuneConfig,
    LearnerConfig,
    UNetConfig,
    parse_config,
)
from napari_unet.errors import ConfigError

MODELS = [getattr(config, name) for name in config.__all__ if name.endswith("Config")]
FIELDS = [
    pytest.param(field, id=f"{model.__name__}.{name}")
    for model in MODELS
    for name, field in model.model_fields.items()
    # a version and groups of settings are no entries in a form
    if name != "schema_version" and not hasattr(field.annotation, "model_fields")
]


@pytest.mark.parametrize("field", FIELDS)
def test_each_setting_has_a_text_of_its_own(field):
    assert field.title
    text = field.description
    assert text.endswith((".", ")"))
    assert len(text) >= 40, text
    assert not text.startswith(("See ", "Of "))
    # what the default is, and thereby why
    if isinstance(field.default, int | float) and not isinstance(field.default, bool):
        value = f"{field.default:g}"
        assert value in text or f"{field.default:,}" in text, (value, text)
    elif isinstance(field.default, str):
        assert f"'{field.default}'" in text


def test_what_the_network_and_the_learner_share_reads_the_same():
    shared = set(UNetConfig.model_fields) & set(LearnerConfig.model_fields)
    assert shared >= {"architecture", "base_channels", "depth"}
    for name in shared:
        mine, its = UNetConfig.model_fields[name], LearnerConfig.model_fields[name]
        assert mine.description == its.description
        assert mine.default == its.default


def test_settings_are_frozen_and_known():
    with pytest.raises(ValidationError):
        LearnerConfig().seed = 3
    with pytest.raises(ConfigError, match=r"'fine_tune\.patch_px' has the value 100"):
        parse_config('{"fine_tune": {"patch_px": 100}}')
    for value in ("NaN", "Infinity", "-1"):
        with pytest.raises(ConfigError, match=r"fine_tune\.learning_rate"):
            parse_config(f'{{"fine_tune": {{"learning_rate": {value}}}}}')
    for value in ("0", "-1", "NaN", "Infinity"):
        with pytest.raises(ConfigError, match=r"instant\.ridge_factors\.1"):
            parse_config(f'{{"instant": {{"ridge_factors": [1, {value}]}}}}')


# -- the paper's recipe ----------------------------------------------------------------


def test_the_paper_s_recipe_has_the_paper_s_values():
    config = LearnerConfig(recipe="paper")
    assert (config.architecture, config.start) == ("unet2015", "scratch")
    network = config.unet_config(1, 2)
    assert network.channels == (64, 128, 256, 512, 1024)
    assert network.dropout > 0
    tuning, changes = config.fine_tune, config.augmentation
    assert (tuning.optimizer, tuning.momentum) == ("sgd", 0.99)
    assert tuning.batch_size == 1
    assert tuning.patch_px + 4 == 388  # see the test of the trainer for 572
    assert (tuning.border_weight, tuning.border_sigma_px) == (10, 5)
    assert tuning.class_balance == "frequency"
    assert (tuning.weight_decay, tuning.average_decay, tuning.dice_weight) == (0, 0, 0)
    assert (changes.elastic_grid, changes.elastic_sigma_px) == (3, 10)
    assert changes.rotate
    assert config.instant.n_scales == 1


def test_settings_that_are_given_win_over_the_recipe():
    text = (
        '{"recipe": "paper", "base_channels": 8, "fine_tune": {"learning_rate": 0.5}}'
    )
    config = parse_config(text)
    assert config.fine_tune.learning_rate == 0.5
    assert config.fine_tune.optimizer == "sgd"
    assert config.base_channels == 8
    mine = LearnerConfig(recipe="paper", fine_tune=FineTuneConfig(batch_size=4))
    assert mine.fine_tune.batch_size == 4
    assert mine.fine_tune.border_weight == 10


def test_a_recipe_is_the_same_after_writing_and_reading():
    config = LearnerConfig(recipe="paper", fine_tune={"patch_px": 64})
    assert parse_config(config.model_dump_json()) == config
    assert LearnerConfig.model_validate(config.model_dump()) == config


def test_without_a_recipe_all_is_as_it_was():
    config = LearnerConfig()
    assert config == LearnerConfig(recipe="strokes")
    assert config.fine_tune == FineTuneConfig()
    assert (config.fine_tune.optimizer, config.fine_tune.border_weight) == ("adamw", 0)
    # files of versions that knew no recipes
    old = config.model_dump(exclude={"recipe"})
    new = {"optimizer", "momentum", "class_balance", "border_weight", "border_sigma_px"}
    old["fine_tune"] = {k: v for k, v in old["fine_tune"].items() if k not in new}
    assert LearnerConfig.model_validate(old) == config


@pytest.mark.parametrize("group", ["fine_tune", "augmentation"])
def test_nonsense_in_a_recipe_is_named(group):
    with pytest.raises(ConfigError, match=f"'{group}' has the value 3"):
        parse_config(f'{{"recipe": "paper", "{group}": 3}}')
    with pytest.raises(ConfigError, match="'recipe'"):
        parse_config('{"recipe": "papre"}')
