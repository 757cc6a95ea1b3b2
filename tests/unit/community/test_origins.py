"""Origins by the operator's database: both forms, and a word when it knows nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.kit.advertise.mmdb import write_mmdb

from mediafleet_scheduler.community.origins import LEAST_LOOKUPS, Origins
from mediafleet_scheduler.core.community.cells import WORLD, country

PEER = "203.0.113.7"


def origins(folder: Path, record: dict[str, Any], network: str = "203.0.113.0/24") -> Origins:
    write_mmdb(folder / "places.mmdb", network, record)
    found = Origins(folder / "places.mmdb")
    found.reopen()
    return found


def complains(origins: Origins) -> bool:
    return origins.complaint is not None


@pytest.mark.parametrize("record", [{"country": {"iso_code": "DE"}}, {"country_code": "DE"}])
def test_a_country_is_found_in_either_form(tmp_path: Path, record: dict[str, Any]) -> None:
    assert origins(tmp_path, record).of(PEER) == country("de")


def test_a_database_that_places_nobody_is_complained_about_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    mine = origins(tmp_path, {"autonomous_system_number": 64500})
    for _ in range(LEAST_LOOKUPS - 1):
        assert mine.of(PEER) == WORLD
    assert not complains(mine)
    for _ in range(LEAST_LOOKUPS):
        mine.of("198.51.100.1")
    assert f"none of {2 * LEAST_LOOKUPS - 1} gateways" in str(mine.complaint)
    assert caplog.text.count("places none of") == 1
    assert PEER not in caplog.text


def test_one_hit_shows_that_its_form_is_known(tmp_path: Path) -> None:
    mine = origins(tmp_path, {"country_code": "DE"})
    for _ in range(LEAST_LOOKUPS):
        mine.of("198.51.100.1")
    assert complains(mine)
    mine.of(PEER)
    assert not complains(mine)


def test_another_file_is_judged_by_itself(tmp_path: Path) -> None:
    mine = origins(tmp_path, {"asn": 1})
    for _ in range(LEAST_LOOKUPS):
        mine.of(PEER)
    assert complains(mine)
    write_mmdb(tmp_path / "places.mmdb", "203.0.113.0/24", {"country": {"iso_code": "JP"}})
    mine.reopen()
    assert not complains(mine)
    assert mine.of(PEER) == country("jp")


def test_without_a_database_all_origins_are_the_world_and_that_is_no_fault() -> None:
    mine = Origins(None)
    mine.reopen()
    assert {mine.of(PEER) for _ in range(LEAST_LOOKUPS + 1)} == {WORLD}
    assert not complains(mine)
