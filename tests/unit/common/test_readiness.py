"""What kubelet's times prove of a pod's ever having been Ready."""

from __future__ import annotations

from typing import Any

import pytest

from mediafleet_common.reports.readiness import is_ready, never_ready, serves_unmarked
from mediafleet_operator.kube import digest
from mediafleet_scheduler.directory import objects

START = "2026-08-01T00:00:10Z"
ALLOWED = {"mediafleet.dev/work-when-ready": "true"}


def pod(
    status: str | None = "False",
    since: str | None = START,
    start: str | None = START,
    label: str | None = "pending",
    annotations: dict[str, str] = ALLOWED,
) -> dict[str, Any]:
    ready = {"type": "Ready", "status": status, "lastTransitionTime": since}
    other = {"type": "Initialized", "status": "True", "lastTransitionTime": START}
    return {
        "metadata": {"labels": {"mediafleet.dev/state": label}, "annotations": annotations},
        "status": {"startTime": start, "conditions": [other, ready] if status else [other]},
    }


@pytest.mark.parametrize(
    ("raw", "never"),
    [
        (pod(), True),
        (pod(since="2026-08-01T00:00:09Z"), True),
        (pod(None), True),
        (pod("True"), False),
        (pod("True", "2026-08-01T00:00:30Z"), False),
        (pod("Unknown"), True),
        (pod(since="2026-08-01T00:00:11Z"), False),
        (pod(since="2026-08-01T00:00:08Z"), False),
        (pod(since=None), False),
        (pod(start=None), False),
        (pod(since="yesterday"), False),
        ({"metadata": {}, "status": {}}, True),
        ({"metadata": {}}, True),
    ],
)
def test_a_pod_was_never_ready_only_where_its_condition_is_as_old_as_its_start(
    raw: dict[str, Any], never: bool
) -> None:
    assert never_ready(raw) is never


@pytest.mark.parametrize(
    ("raw", "serves"),
    [
        (pod("True"), True),
        (pod(since="2026-08-01T00:01:00Z"), True),
        (pod(), False),
        (pod("True", annotations={}), False),
        (pod("True", annotations={"mediafleet.dev/work-when-ready": "false"}), False),
        (pod("True", label="ready"), False),
        (pod("True", label="draining"), False),
        (pod("True", label=None), False),
        ({"metadata": {}}, False),
    ],
)
def test_a_label_is_late_only_on_a_pod_that_may_have_work_before_it(
    raw: dict[str, Any], serves: bool
) -> None:
    assert serves_unmarked(raw) is serves


def test_ready_is_what_the_condition_of_that_name_says() -> None:
    assert is_ready(pod("True"))
    assert not is_ready(pod("False"))
    assert not is_ready(pod(None))


def test_operator_and_desks_go_by_one_rule() -> None:
    for module in (digest, objects):
        assert vars(module)["serves_unmarked"] is serves_unmarked
