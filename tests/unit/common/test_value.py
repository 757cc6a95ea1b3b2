"""Values that are quick to make."""

from __future__ import annotations

from dataclasses import field, replace

import pytest

from mediafleet_common.value import value


@value
class Place:
    """One."""

    pod: str
    cores: float = 1.0
    tags: dict[str, str] = field(default_factory=dict, compare=False)


def test_values_are_equal_by_what_they_hold_and_serve_as_keys() -> None:
    assert Place("a") == Place("a", 1.0)
    assert {Place("a"): 1}[Place("a")] == 1
    assert replace(Place("a"), cores=2.0) == Place("a", 2.0)
    assert Place("a") != Place("b")


def test_values_have_no_room_for_what_they_do_not_name() -> None:
    with pytest.raises(AttributeError):
        setattr(Place("a"), "port", 1)  # noqa: B010 - the type checker knows it, too
