"""Cells of work: closed lists where there is one, and no name that could be an address."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.core.community.work.kinds import (
    ALL,
    FAMILY,
    Kind,
    cell,
    resolution,
)


def test_each_kind_divides_one_family() -> None:
    assert FAMILY.keys() == set(Kind)


@pytest.mark.parametrize("kind", list(RequestType))
def test_types_of_egress_have_their_own_names(kind: RequestType) -> None:
    assert cell(Kind.EGRESS_BY_TYPE, kind.value) == kind.value


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (Kind.EGRESS_BY_TYPE, "my-own-type"),
        (Kind.EGRESS_BY_RESOLUTION, "1921x1081"),
        (Kind.EGRESS_BY_RESOLUTION, "719p"),
        (Kind.EGRESS_MINUTES, "web"),
        (Kind.PIXELS, "1080p"),
        (Kind.AI_BY_TYPE, ""),
        (Kind.AI_BY_MODEL, "203.0.114.7/flux"),
        (Kind.AI_BY_MODEL, "flux-203.0.114.7"),
        (Kind.AI_BY_MODEL, "https://example.com/flux"),
        (Kind.AI_BY_MODEL, "2a01:4f8::9"),
        (Kind.AI_BY_MODEL, "0xa8bB618B1520E284046F3dFc448851A1Ff26e41B"),
        (Kind.AI_BY_MODEL, "f" * 32),
        (Kind.AI_BY_MODEL, 'flux",cell="x'),
        (Kind.AI_BY_MODEL, "a/b/c"),
        (Kind.AI_BY_MODEL, "flux\n"),
        (Kind.AI_BY_MODEL, "a" * 81),
    ],
)
def test_a_name_that_is_not_of_the_list_or_could_be_an_address_is_not_told(
    kind: Kind, name: str
) -> None:
    assert cell(kind, name) == ALL


@pytest.mark.parametrize("name", ["black-forest-labs/FLUX.1-dev", "flite", "llama3.1_8b"])
def test_a_model_is_told_by_its_name(name: str) -> None:
    assert cell(Kind.AI_BY_MODEL, name) == name
    assert cell(Kind.AI_BY_TYPE, name) == name


def test_a_picture_is_of_the_class_of_its_shorter_side() -> None:
    told = [resolution(each) for each in (1, 360, 361, 1080, 2160, 4320)]
    assert told == ["360p", "360p", "480p", "1080p", "2160p", "2160p"]
    assert resolution(None) == resolution(0) == resolution(-1) == ALL


@given(st.integers(1, 20_000))
def test_each_class_of_pictures_is_a_cell(lines: int) -> None:
    assert cell(Kind.EGRESS_BY_RESOLUTION, resolution(lines)) == resolution(lines)
