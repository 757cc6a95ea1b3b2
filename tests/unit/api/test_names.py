"""Words that clusters, alerts and people rely on: they do not change when the code does."""

from __future__ import annotations

import re
from enum import StrEnum

import pytest

from mediafleet_common.api.names import (
    GROUP,
    KEDA_PAUSE,
    SERVING_GATE,
    Annotation,
    Condition,
    Container,
    DrainReason,
    Kind,
    KindLabel,
    Label,
    PodState,
    Port,
    Reason,
    cluster_id,
)
from mediafleet_common.api.shared import DrainResult
from mediafleet_common.reports.task import TaskState


@pytest.mark.parametrize("word", [*Reason, *Condition], ids=str)
def test_a_condition_and_a_reason_are_their_names_in_camel_case(word: StrEnum) -> None:
    """An alert names them: Kubernetes wants CamelCase."""
    assert word.value == "".join(part.capitalize() for part in word.name.split("_"))


@pytest.mark.parametrize("word", [*PodState, *DrainReason, *DrainResult, *TaskState], ids=str)
def test_what_a_status_says_in_a_word_is_its_name_in_small_letters(word: StrEnum) -> None:
    assert word.value == word.name.lower()


def test_a_container_and_a_kind_in_a_label_are_their_names_with_hyphens() -> None:
    for word in (*Container, *KindLabel):
        assert word.value == word.name.lower().replace("_", "-")


def test_a_key_on_a_pod_is_its_name_in_our_group_or_one_that_kubernetes_recommends() -> None:
    assert GROUP == "mediafleet.dev"
    recommended = {Label.NAME, Label.INSTANCE, Label.COMPONENT, Label.PART_OF, Label.MANAGED_BY}
    for key in (*Label, *Annotation):
        of = "app.kubernetes.io" if key in recommended else GROUP
        assert key.value == f"{of}/{key.name.lower().replace('_', '-')}"
    assert SERVING_GATE == "mediafleet.dev/serving"


def test_manifests_name_the_kinds_as_their_users_wrote_them() -> None:
    assert set(Kind) == {"EgressFleet", "OrchestratorPool", "AIWorkerPool", "CommunityMetrics"}


def test_keda_is_paused_by_what_begins_as_its_own_annotations_do() -> None:
    assert "autoscaling.keda.sh/paused-replicas".startswith(KEDA_PAUSE)
    assert not "autoscaling.keda.sh/other".startswith(KEDA_PAUSE)


def test_network_policies_and_scrapers_find_the_ports_where_they_were() -> None:
    ports = {name: port for name, port in vars(Port).items() if not name.startswith("_")}
    assert ports == {
        "DESK_HTTP": 8080,
        "ORCHESTRATOR": 8935,
        "SCALER": 9090,
        "EGRESS_METRICS": 9091,
        "EGRESS_HEALTH": 9092,
        "NODE_CLI": 7935,
        "AGENT": 7936,
        "SENDER": 8429,
        "BEHIND_PROXY": 7938,
        "STOCK_WORKER": 7940,
        "DOCKER": 7941,
    }


def test_two_lives_of_a_pod_are_called_by_different_topics() -> None:
    first = cluster_id("media", "rec-0", "0a1b2c3d-4e5f")
    assert first == "media.rec-0.0a1b2c3d"
    assert re.fullmatch(r"[a-z0-9.-]+", first)
    assert cluster_id("media", "rec-0", "9a1b2c3d-4e5f") != first
