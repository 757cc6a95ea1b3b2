"""The models of resources and files: defaults, and errors that name the field."""

import re

import pytest
from pydantic import ValidationError

from mediafleet_common.api.egress.costs import CpuCost, RequestType
from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.egress.placement import Mode
from mediafleet_common.api.pool.advertise import Advertise
from mediafleet_common.api.pool.orchestrator_pool import OrchestratorPoolSpec
from mediafleet_common.api.reading import UnreadableObjectError, read_spec
from mediafleet_scheduler.directory.entries_file import NodesFile, WorkersFile

TOKEN = {"name": "secret", "key": "token"}


def test_a_resource_is_read_in_camel_case_and_a_file_in_snake_case() -> None:
    camel = EgressFleetSpec.model_validate(
        {"redis": {"address": "r:6379"}, "placement": {"maxCpuUtilization": 0.5}}
    )
    snake = EgressFleetSpec.model_validate(
        {"redis": {"address": "r:6379"}, "placement": {"max_cpu_utilization": 0.5}}
    )
    assert camel == snake
    assert camel.placement.max_cpu_utilization == 0.5


@pytest.mark.parametrize(
    ("field", "value", "advice"),
    [
        ("rooms", ["*" * 9], "rooms.0: write the name of a room with at most eight *"),
        ("redis", {"ref": "A b"}, "redis.ref: write the name of a declared Redis"),
    ],
)
def test_a_text_of_another_form_is_refused_with_what_to_write(
    field: str, value: object, advice: str
) -> None:
    with pytest.raises(UnreadableObjectError, match=re.escape(advice)):
        read_spec(EgressFleetSpec, {field: value})


def test_the_mode_is_pack_unless_told_otherwise() -> None:
    spec = EgressFleetSpec.model_validate({"redis": {"address": "r:6379"}})
    assert spec.placement.mode is Mode.PACK


def test_every_request_type_has_a_cost_of_upstream() -> None:
    costs = {kind: CpuCost().of(kind) for kind in RequestType}
    assert costs == {
        RequestType.ROOM_COMPOSITE: 4.0,
        RequestType.AUDIO_ROOM_COMPOSITE: 1.0,
        RequestType.SDK_AUDIO_ROOM_COMPOSITE: 1.0,
        RequestType.WEB: 4.0,
        RequestType.AUDIO_WEB: 1.0,
        RequestType.PARTICIPANT: 2.0,
        RequestType.TRACK_COMPOSITE: 1.0,
        RequestType.TRACK: 0.5,
    }


@pytest.mark.parametrize(
    ("spec", "settle_seconds"),
    [
        ({}, 420),
        ({"load": "docker-ai"}, 660),
        ({"load": "connections"}, 660),
        ({"load": "url", "loadUrl": {"url": "http://127.0.0.1:9000/"}}, 660),
        ({"drain": {"settle": "2s"}}, 2),
    ],
)
def test_an_orchestrator_settles_past_the_gateways_refresh(
    spec: dict[str, object], settle_seconds: float
) -> None:
    assert OrchestratorPoolSpec.model_validate(spec).settle_seconds == settle_seconds


@pytest.mark.parametrize(
    ("fleets", "message"),
    [
        ([{"name": "a", "worker": []}], "worker"),
        ([{"name": "a", "workers": [{"name": "p"}]}], "cluster_id"),
        ([{"name": "a", "placement": {"mode": "packed"}}], "pack"),
        (
            [
                {
                    "name": "a",
                    "workers": [
                        {"name": "p", "cluster_id": "1"},
                        {"name": "p", "cluster_id": "2"},
                    ],
                }
            ],
            "two workers have name 'p'",
        ),
    ],
)
def test_a_wrong_workers_file_is_refused_by_the_name_of_the_field(
    fleets: list[object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        WorkersFile.model_validate({"fleets": fleets})


def test_a_nodes_file_leaves_a_bad_url_to_the_advertiser() -> None:
    nodes = NodesFile.model_validate({"nodes": [{"name": "n", "url": "not a url"}]}).nodes
    assert nodes[0].url == "not a url"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ({}, "source eu: give urls, or list_url, or both"),
        ({"urls": ["https://a:1"], "token_secret": TOKEN}, "sent over https only"),
        ({"list_url": "http://a/list", "token_secret": TOKEN}, "sent over https only"),
    ],
)
def test_a_source_that_tells_nothing_or_a_token_to_all_is_refused(
    source: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        Advertise.model_validate({"sources": [{"name": "eu", **source}]})
    fine = {"name": "eu", "list_url": "https://a/list", "token_secret": TOKEN}
    assert Advertise.model_validate({"sources": [fine]}).sources[0].token_secret is not None
