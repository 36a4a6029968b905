"""Whatever images, projects and model files hold: used, or refused in one sentence.

With more cases: ``python benchmarks/fuzz.py``.
"""

import fuzz_cases as cases
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

_few = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz") / "template.unet-project"
    cases.make_project(folder)
    return folder


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "training.safetensors"
    cases.make_training(path)
    return path.read_bytes()


@_few
@given(scene=cases.scenes())
def test_any_image_is_learned_from_or_refused(scene):
    cases.check_learner(scene)


@_few
@given(spoil=cases.projects())
def test_a_spoiled_project_is_used_or_refused(template, spoil):
    cases.check_project(template, spoil)


@_few
@given(data=st.data())
def test_a_spoiled_training_is_gone_on_with_or_refused(training, data):
    cases.check_training(data.draw(cases.trainings(training)))


def test_what_is_not_spoiled_is_used(template, training):
    assert cases.check_training(training) == "used"
    assert cases.check_project(template, lambda _folder: "") == ("", "used")
