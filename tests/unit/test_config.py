"""Settings explain themselves: each text is a tooltip, without other texts at hand."""

import pytest
from pydantic import ValidationError

from napari_unet import config
from napari_unet.config import ConfigError, LearnerConfig, UNetConfig, parse_config

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
