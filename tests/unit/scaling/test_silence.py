"""How it is said that pods are silent."""

from __future__ import annotations

import pytest

from mediafleet_common.scaling.unknown import silence


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["b"], "b is silent"),
        (["b", "a"], "a and 1 more is silent"),
        (["c", "b", "a"], "a and 2 more is silent"),
    ],
)
def test_the_first_silent_pod_is_named_and_the_others_are_counted(
    names: list[str], said: str
) -> None:
    assert silence(names, "is silent") == said
