"""Fleets and the Redises that the administrator declares: what the desk serves and how."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.kit.fleets.views import egress_view

from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.egress.redis import RedisSpec
from mediafleet_common.redises.endpoints import RedisEndpoint, Redises
from mediafleet_common.serving.run import CannotStartError
from mediafleet_scheduler.directory.objects import Bounds, FleetFacts
from mediafleet_scheduler.egress.connections.opening import access_to_declared
from mediafleet_scheduler.egress.process.branch_state import server_key
from mediafleet_scheduler.egress.process.serve import Options

MAIN = RedisEndpoint(name="main", addresses=["redis:6380"], tls=True, namespaces=["live"])
DECLARED = Redises((MAIN,), allow_undeclared=False)


def fleet(namespace: str, **redis: object) -> FleetFacts:
    spec = EgressFleetSpec.model_validate({"redis": redis})
    return FleetFacts(namespace, "rec", f"uid-{namespace}", False, spec)


def test_a_desk_serves_no_fleet_that_may_not_use_its_redis() -> None:
    fleets = [
        fleet("live", ref="main"),
        fleet("evil", ref="main"),
        fleet("worse", cluster={"addresses": ["redis:6380", "evil:1"]}),
    ]
    view = egress_view(fleets, [], Bounds(redises=DECLARED))
    assert [each.namespace for each in view.fleets] == ["live"]
    assert view.fleets[0].redis == MAIN.spec(RedisSpec(ref="main"))


def test_fleets_of_one_declared_redis_share_a_branch_whatever_their_own_secrets() -> None:
    one = MAIN.spec(RedisSpec.model_validate({"passwordSecret": {"name": "a", "key": "k"}}))
    other = MAIN.spec(RedisSpec.model_validate({"passwordSecret": {"name": "b", "key": "k"}}))
    assert server_key(one) == server_key(other)


async def test_the_desks_password_of_a_declared_redis_is_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "main").mkdir()
    (tmp_path / "main/password").write_text("open sesame\n")
    options = Options("h:1", declared=access_to_declared([MAIN], tmp_path))
    connections = options.connections(MAIN.spec(RedisSpec()))
    kept = connections.pubsub.connection_pool.connection_kwargs
    assert kept["credential_provider"].get_credentials() == ("open sesame",)
    await connections.close()
    written = options.connections(RedisSpec(address="redis:6380", tls=True))
    assert written.pubsub.connection_pool.connection_kwargs["credential_provider"] is None
    await written.close()


def test_a_redis_that_is_declared_no_more_is_told() -> None:
    with pytest.raises(CannotStartError, match="main is declared no more"):
        Options("h:1").connections(MAIN.spec(RedisSpec()))
