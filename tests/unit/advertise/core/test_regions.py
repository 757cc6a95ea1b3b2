"""Where a gateway is, by network, country and continent."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from tests.kit.advertise.mmdb import write_mmdb

from mediafleet_common.api.pool.advertise import Advertise, GatewayRegion
from mediafleet_common.clock import Clock
from mediafleet_scheduler.advertise.geography import Geography
from mediafleet_scheduler.core.advertise.regions import Place, RegionTable
from mediafleet_scheduler.core.advertise.views import PoolView

REGIONS = [
    GatewayRegion(name="eu", cidrs=["10.0.0.0/8", "2001:db8::/32"], countries=["DE"]),
    GatewayRegion(name="us", cidrs=["10.1.0.0/16"], countries=["US", "DE"]),
    GatewayRegion(name="apac", continents=["AS", "EU"]),
]
PLACES = {
    "192.0.2.1": Place("DE", "EU"),
    "192.0.2.2": Place("US", "NA"),
    "192.0.2.3": Place("JP", "AS"),
    "192.0.2.4": Place("FR", "EU"),
    "192.0.2.5": Place(None, "NA"),
    "10.1.2.3": Place("JP", "AS"),
}


@pytest.mark.parametrize(
    ("address", "region"),
    [
        ("10.2.3.4", "eu"),
        ("10.1.2.3", "us"),  # the narrower network, and before any country
        ("::ffff:10.1.2.3", "us"),
        ("2001:db8::1", "eu"),
        ("192.0.2.1", "eu"),  # the first that names the country
        ("192.0.2.2", "us"),
        ("192.0.2.3", "apac"),
        ("192.0.2.4", "apac"),
        ("192.0.2.5", None),
        ("192.0.2.6", None),
        ("localhost", None),
        ("", None),
    ],
)
def test_a_region_by_network_country_and_continent(address: str, region: str | None) -> None:
    assert RegionTable(REGIONS).region(address, PLACES.get) == region


def test_what_is_no_network_is_refused_by_name() -> None:
    with pytest.raises(ValidationError, match=r"10\.0\.0\.1/8: write a network"):
        GatewayRegion(name="eu", cidrs=["10.0.0.1/8"])


def pool(*regions: GatewayRegion) -> PoolView:
    return PoolView("", "pool", Advertise(regions=list(regions)), ())


def test_a_peer_of_grpc_is_known_by_its_address() -> None:
    geography = Geography()
    assert (geography.matters, geography.of("10.2.3.4")) == (False, None)
    geography.take(pool(*REGIONS))
    assert geography.matters
    assert geography.of("10.2.3.4") == "eu"
    assert geography.of("2001:db8::7") == "eu"
    assert geography.of("") is None
    geography.take(pool(GatewayRegion(name="mars", cidrs=["10.0.0.0/8"])))
    assert geography.of("10.2.3.4") == "mars"


def test_a_database_of_countries_may_come_later_and_be_replaced(tmp_path: Path) -> None:
    now = 0.0
    path = tmp_path / "countries.mmdb"
    geography = Geography(path, Clock(monotonic=lambda: now))
    geography.take(pool(*REGIONS))
    assert geography.of("192.0.2.9") is None
    write_mmdb(path, "192.0.2.0/24", {"country": {"iso_code": "DE"}})
    assert geography.of("192.0.2.9") is None
    now = 61.0
    assert geography.of("192.0.2.9") == "eu"
    assert geography.of("198.51.100.1") is None
    assert geography.of("2001:db9::1") is None
    write_mmdb(path, "192.0.2.0/24", {"continent": {"code": "AS"}, "country": {"iso_code": "JP"}})
    now = 122.0
    assert geography.of("192.0.2.9") == "apac"
    path.write_bytes(b"garbage")
    now = 183.0
    assert geography.of("192.0.2.9") == "apac"
