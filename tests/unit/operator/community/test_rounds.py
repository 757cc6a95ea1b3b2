"""Rounds of a CommunityMetrics against an API server in memory."""

from __future__ import annotations

import copy
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry
from tests.kit.operator.kube_server import KubeServer

from mediafleet_common.api.names import Kind
from mediafleet_common.clock import Clock
from mediafleet_common.kube.client import Api, Json
from mediafleet_common.kube.watch import Away, Changed, Listed
from mediafleet_common.probes.http_client import Failure, FetchError
from mediafleet_common.reports.community import CommunityReport, Deletion, Delivery, Hours
from mediafleet_operator.core.fleet.model import FleetKey
from mediafleet_operator.kube import paths
from mediafleet_operator.kube.children import Children
from mediafleet_operator.manifests.pods.pod import Product
from mediafleet_operator.rounds.community.round import CommunityRounds
from mediafleet_operator.rounds.metrics import OperatorMetrics

KEY = FleetKey(Kind.COMMUNITY_METRICS, "media", "share")
PATH = paths.fleet(KEY).path
RECIPIENTS = [{"name": "one", "url": "https://one.example/api/v1/write", "operator": "me"}]
SHARING = CommunityReport(
    shares=["ownStreams"], hours=Hours(published=3, newest="2026-11-29T08:00:00Z")
)


class Story:
    """An operator, and what the reporter says."""

    def __init__(self, product: Product | None = None, **spec: Any) -> None:
        self.server = KubeServer()
        self.says: CommunityReport | None = None
        self.now = 1_800_000_000.0
        clock = Clock(lambda: self.now, lambda: self.now)
        api = cast("Api", self.server)
        product = product or Product("ours:1", vmagent_image="vmagent:1")
        self.rounds = CommunityRounds(
            api,
            Children(api, product, clock),
            self.ask,
            OperatorMetrics(CollectorRegistry()),
            clock,
        )
        body = {
            "metadata": {"name": "share", "namespace": "media"},
            "spec": {"pool": "transcoders", "region": "eu-west", **spec},
        }
        self.server.put(PATH, body)

    async def ask(self, key: FleetKey) -> CommunityReport:
        assert key == KEY
        if self.says is None:
            raise FetchError(Failure.UNREACHABLE, "connection refused")
        return self.says

    async def round(self) -> Json:
        """One round; the status."""
        if PATH in self.server.objects:
            self.rounds.take(Changed(paths.COMMUNITY, self.server.objects[PATH]))
        await self.rounds.round(KEY)
        return cast("Json", self.server.objects.get(PATH, {}).get("status", {}))

    def made(self) -> set[str]:
        """What the operator made."""
        return {each.split("/")[-2] for each in self.server.objects if each != PATH}


def ready(status: Json) -> tuple[str, str]:
    (condition,) = status["conditions"]
    return condition["status"], condition["reason"]


async def test_nothing_is_made_before_the_resource_exists_and_then_the_reporter_is() -> None:
    story = Story()
    await story.rounds.round(KEY)
    assert story.made() == set()
    assert ready(await story.round()) == ("False", "ReporterAway")
    assert story.made() == {
        "serviceaccounts",
        "roles",
        "rolebindings",
        "configmaps",
        "services",
        "deployments",
    }


async def test_the_status_says_what_is_shared_the_last_hour_and_what_left() -> None:
    story = Story(recipients=RECIPIENTS)
    told = [Delivery(name="one", accepted=7, refused=2, pending=5)]
    story.says = SHARING.model_copy(update={"deliveries": told})
    status = await story.round()
    assert ready(status) == ("True", "Shared")
    assert status["lastHour"] == "2026-11-29T08:00:00Z"
    assert (status["hours"], status["accepted"], status["rejected"]) == (3, 7, 2)
    assert status["deliveries"] == [{"name": "one", "accepted": 7, "refused": 2, "pending": 5}]


async def test_facts_stay_while_the_reporter_does_not_answer() -> None:
    story = Story()
    story.says = SHARING
    await story.round()
    story.says = None
    status = await story.round()
    assert ready(status) == ("False", "ReporterAway")
    assert status["hours"] == 3


async def test_a_round_that_changes_nothing_writes_nothing() -> None:
    story = Story()
    story.says = SHARING
    await story.round()
    written = len(story.server.writes)
    await story.round()
    assert story.server.writes[written:] == []


async def test_what_is_asked_for_and_not_shared_is_said() -> None:
    story = Story(share={"gatewaysByOrigin": True})
    story.says = SHARING
    status = await story.round()
    assert ready(status) == ("True", "PartlyShared")
    assert status["refused"][0].startswith("gatewaysByOrigin: ")


@pytest.mark.parametrize(
    ("unknown", "refused"),
    [
        (None, []),
        (
            "nobody tells it",
            [f"{name}ByOrigin: nobody tells it" for name in ("gateways", "streams")],
        ),
    ],
)
async def test_with_a_redis_the_reporter_says_why_origins_are_not_known(
    unknown: str | None, refused: list[str]
) -> None:
    story = Story(
        share={"gatewaysByOrigin": True, "streamsByOrigin": True},
        originsRedis={"address": "origins.media.svc:6379"},
    )
    story.says = SHARING.model_copy(update={"origins_unknown": unknown})
    assert (await story.round()).get("refused", []) == refused
    assert (await Story(share={"streamsByOrigin": True}).round())["refused"][0].startswith(
        "streamsByOrigin: nobody tells the reporter who asks and streams: name a Redis"
    )


async def test_further_groups_of_which_nobody_tells_are_refused_by_name() -> None:
    share = {"aiByModel": True, "pixels": True}
    without = Story(share=share)
    without.says = SHARING
    assert (await without.round())["refused"] == [
        f"{name}: nobody tells the reporter of it: name a Redis in originsRedis"
        for name in ("aiByModel", "pixels")
    ]
    story = Story(share=share, originsRedis={"address": "origins.media.svc:6379"})
    story.says = SHARING.model_copy(update={"work_untold": ["pixels"]})
    assert (await story.round())["refused"] == ["pixels: nobody tells of it"]
    assert (await Story(share=share, leave={}).round()).get("refused", []) == []


async def test_an_hour_that_is_not_on_disk_is_said() -> None:
    story = Story()
    story.says = SHARING.model_copy(update={"not_written": "No space left on device"})
    status = await story.round()
    assert ready(status) == ("True", "PartlyShared")
    assert "No space left on device" in status["conditions"][0]["message"]


async def test_an_object_of_somebody_else_is_left_as_it_is() -> None:
    story = Story()
    other = "/api/v1/namespaces/media/configmaps/share-reporter"
    story.server.put(other, {"metadata": {"name": "share-reporter"}, "data": {"a": "b"}})
    status = await story.round()
    assert ready(status) == ("False", "ChildNotOurs")
    assert "another name" in status["conditions"][0]["message"]
    assert story.server.objects[other]["data"] == {"a": "b"}


async def test_nobody_sends_without_an_image_and_that_is_said() -> None:
    story = Story(Product("ours:1"), recipients=RECIPIENTS)
    story.says = SHARING
    status = await story.round()
    assert ready(status) == ("False", "SenderMissing")
    assert "community.vmagent.image" in status["conditions"][0]["message"]


async def test_leaving_is_recorded_with_what_collectors_answered() -> None:
    story = Story(leave={"target": "https://me.example", "collectors": ["https://c.example"]})
    answered = Deletion(
        collector="https://c.example", confirmed=True, answer="200: deleted", at="x"
    )
    story.says = CommunityReport(left=True, deletions=[answered])
    status = await story.round()
    assert ready(status) == ("True", "Left")
    assert "1 of 1 collectors have deleted" in status["conditions"][0]["message"]
    assert status["left"]
    assert status["deletions"][0]["answer"] == "200: deleted"


async def test_a_deleted_resource_is_not_made_again_and_its_successor_is_another() -> None:
    story = Story()
    story.says = SHARING
    await story.round()
    story.rounds.take(Listed(paths.COMMUNITY, 10**9, []))
    story.server.remove(PATH)
    before = len(story.server.writes)
    await story.round()
    assert story.server.writes[before:] == []


async def test_late_word_of_a_predecessor_says_nothing_of_the_one_that_is_there() -> None:
    story = Story()
    await story.round()
    first = copy.deepcopy(story.server.objects[PATH])
    story.server.remove(PATH)
    second = copy.deepcopy(
        story.server.put(PATH, {**first, "metadata": {"name": "share", "namespace": "media"}})
    )
    uid = second["metadata"]["uid"]
    for raw, deleted in ((first, True), (second, False), (first, False), (first, True)):
        story.rounds.take(Changed(paths.COMMUNITY, raw, deleted=deleted))
    story.rounds.take(Listed(paths.COMMUNITY, int(first["metadata"]["resourceVersion"]), [first]))

    assert story.rounds._found[KEY].uid == uid


async def test_a_resource_of_another_version_stops_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    story = Story()
    meta = {"name": "odd", "namespace": "media", "uid": "u", "resourceVersion": "9"}
    story.rounds.take(Changed(paths.COMMUNITY, {"metadata": meta, "spec": {"region": 5}}))
    story.rounds.take(Away("connection refused"))
    story.rounds.take(Away("connection refused"))
    assert caplog.text.count("not looked after") == 1
    story.says = SHARING
    assert ready(await story.round()) == ("True", "Shared")
