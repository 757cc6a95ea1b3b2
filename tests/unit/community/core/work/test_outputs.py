"""Further groups in every output: the same figures, and nothing where nothing is told."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from mediafleet_common.api.community import FURTHER, Share
from mediafleet_scheduler.core.community.cells import WORLD
from mediafleet_scheduler.core.community.collecting import read_summary, together
from mediafleet_scheduler.core.community.groups import Groups
from mediafleet_scheduler.core.community.mapping import world_view
from mediafleet_scheduler.core.community.pages.summary import as_html
from mediafleet_scheduler.core.community.publishing import HourRecord
from mediafleet_scheduler.core.community.rendering import Shared, as_json, as_prometheus
from mediafleet_scheduler.core.community.stored import (
    NotStoredError,
    as_stored,
    from_stored,
    groups_as_stored,
    groups_from_stored,
    work_groups_from_stored,
)
from mediafleet_scheduler.core.community.work.kinds import TITLES, Kind
from mediafleet_scheduler.core.community.work.together import WorkRow, work_rows

HOUR = 1_795_900_000 // 3600 * 3600
DAY = "2026-11-29"
WORK = {"aiByModel": {"m/sd": 15, "all": 5}, "pixels": {"all": 40}}
NONE = (None,) * 12
FIGURES = st.dictionaries(
    st.sampled_from([kind.value for kind in Kind]),
    st.dictionaries(
        st.sampled_from(["all", "web", "720p", "m/sd"]), st.integers(1, 500), min_size=1
    ),
)


def shared(*work: dict[str, dict[str, int]]) -> Shared:
    """An operator with an hour of each."""
    hours = [
        HourRecord(HOUR + 3600 * number, 3, {}, NONE, work=each) for number, each in enumerate(work)
    ]
    return Shared("eu-west", None, hours)


def test_each_kind_is_off_until_it_is_named_and_has_a_title() -> None:
    assert list(FURTHER) == [kind.value for kind in Kind] == list(TITLES)
    assert Share().further == []
    assert Share(ai_by_model=True, pixels=True).further == ["aiByModel", "pixels"]
    assert not Share(egress_by_type=True).origins


def test_the_summary_tells_work_by_kind_and_prometheus_the_newest_hour_of_it() -> None:
    told = shared({"pixels": {"all": 10}}, WORK)
    before, hour = as_json(told)["hours"]
    assert (before["work"], hour["work"]) == ({"pixels": {"all": 10}}, WORK)
    samples = [line for line in as_prometheus(told).splitlines() if "_work{" in line]
    assert samples == [
        'mediafleet_community_work{kind="aiByModel",cell="all"} 5',
        'mediafleet_community_work{kind="aiByModel",cell="m/sd"} 15',
        'mediafleet_community_work{kind="pixels",cell="all"} 40',
    ]


@given(FIGURES)
def test_both_outputs_and_the_file_tell_the_same(work: dict[str, dict[str, int]]) -> None:
    told = shared(work)
    samples = [
        (sample.labels["kind"], sample.labels["cell"], int(sample.value))
        for family in text_string_to_metric_families(as_prometheus(told))
        for sample in family.samples
        if sample.name == "mediafleet_community_work"
    ]
    expected = [(kind, cell, value) for kind in work for cell, value in work[kind].items()]
    assert sorted(samples) == sorted(expected)
    (hour,) = as_json(told)["hours"]
    assert hour.get("work", {}) == work
    assert from_stored(as_stored(told.hours)) == list(told.hours)


def test_an_hour_without_work_has_no_key_no_line_and_no_table() -> None:
    told = shared({})
    assert "work" not in as_json(told)["hours"][0]
    assert "mediafleet_community_work" not in as_prometheus(told)
    assert "Work by kind" not in as_html(as_json(told))
    assert "Work by kind" not in as_html(as_json(shared()))


def test_the_page_for_people_has_a_row_for_each_figure_of_the_newest_hour() -> None:
    page = as_html(as_json(shared({"egressMinutes": {"all": 95}}, WORK)))
    assert '<th scope="row">AI tasks, by model</th><td>m/sd</td><td>15</td>' in page
    assert page.count("Transcoding, megapixels a second") == 1
    assert "95" not in page


def test_a_file_with_a_kind_that_is_not_known_is_refused() -> None:
    stored = as_stored(shared({"pixels": {"all": 10}}).hours)
    with pytest.raises(NotStoredError):
        from_stored(stored.replace(b"pixels", b"shoesizes"))
    with pytest.raises(NotStoredError):
        from_stored(stored.replace(b'"all"', b'"http://a"'))


def test_the_days_cells_are_read_again_after_a_restart_and_hold_for_that_day_alone() -> None:
    work = {
        Kind.AI_BY_MODEL: Groups(frozenset({WORLD, (*WORLD, "m/sd")})),
        Kind.PIXELS: Groups(),
    }
    stored = groups_as_stored(DAY, 3, [WORLD], work)
    assert work_groups_from_stored(stored, DAY, 3) == work
    assert groups_from_stored(stored, DAY, 3) == frozenset({WORLD})
    assert work_groups_from_stored(stored, "2026-11-30", 3) == {}
    assert work_groups_from_stored(stored, DAY, 4) == {}
    assert work_groups_from_stored(b"{", DAY, 3) == {}
    assert work_groups_from_stored(groups_as_stored(DAY, 3, [WORLD]), DAY, 3) == {}
    assert b"work" not in groups_as_stored(DAY, 3, [WORLD])


def test_work_of_several_operators_is_added_and_says_of_how_many() -> None:
    old, mine = WORK, {"aiByModel": {"m/sd": 10}}
    told = {
        "a": read_summary(json.dumps(as_json(shared(old, mine))).encode()),
        "b": read_summary(json.dumps(as_json(shared(WORK))).encode()),
        "c": read_summary(json.dumps(as_json(shared())).encode()),
    }
    rows = [
        WorkRow("aiByModel", "all", 1, 5),
        WorkRow("aiByModel", "m/sd", 2, 25),
        WorkRow("pixels", "all", 1, 40),
    ]
    assert together(told, []).work == rows
    view = world_view(list(told.values()), 0, HOUR + 7200.0)
    assert [(each["title"], each["amount"]) for each in view["work"]] == [
        ("AI tasks, by model", 5),
        ("AI tasks, by model", 25),
        ("Transcoding, megapixels a second", 40),
    ]


def test_a_claim_of_another_kind_or_a_name_that_could_be_an_address_is_left_out() -> None:
    claim = {"shoesizes": {"all": 5}, "aiByModel": {"203.0.114.7": 5, "m/sd": 5}, "pixels": {}}
    claim["egressByType"] = {"mine": 5, "web": 10, "all": 15}
    assert work_rows([claim]) == [
        WorkRow("aiByModel", "m/sd", 1, 5),
        WorkRow("egressByType", "all", 1, 15),
        WorkRow("egressByType", "web", 1, 10),
    ]
