"""Reading the spec of a resource."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from mediafleet_common.api.base import Model
from mediafleet_common.api.reading import UnreadableObjectError, first_mistake, read_spec


class Inner(Model):
    """A part of the spec."""

    max_jobs: int


class Outer(Model):
    """The spec."""

    inner: list[Inner]


def test_what_only_a_newer_crd_knows_is_left_out() -> None:
    assert read_spec(Outer, {"inner": [], "newer": 1}) == Outer(inner=[])
    assert read_spec(Outer, {"inner": [{"maxJobs": 2, "newer": 1}]}).inner[0].max_jobs == 2


def test_a_spec_of_another_version_is_refused_by_its_first_wrong_field() -> None:
    with pytest.raises(UnreadableObjectError, match=r"^spec\.inner\.1\.max_jobs: Input should"):
        read_spec(Outer, {"inner": [{"maxJobs": 2}, {"maxJobs": "many"}, {"maxJobs": "few"}]})


def test_a_mistake_says_where_it_is_and_never_what_was_written() -> None:
    with pytest.raises(ValidationError) as caught:
        Inner.model_validate({"maxJobs": "secret"})
    assert first_mistake(caught.value).startswith("max_jobs: ")
    assert first_mistake(caught.value, "spec", "inner").startswith("spec.inner.max_jobs: ")
    assert "secret" not in first_mistake(caught.value)
