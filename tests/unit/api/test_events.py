"""An Event about a resource, as events.k8s.io/v1 takes it."""

from __future__ import annotations

from mediafleet_common.api.events import EVENTS_API, EventToPost, Regarding, Reporter, event
from mediafleet_common.api.names import Kind, Reason

POSTED = EventToPost("Warning", Reason.JOBS_LOST, "rec-0 is gone.")


def test_an_event_says_what_happened_to_which_resource_and_who_says_so() -> None:
    fleet = Regarding(Kind.EGRESS_FLEET, "media", "rec", "uid-1")
    made = event(fleet, POSTED, Reporter("egress", "desk-0"), 1_767_323_045.5, "abc")
    assert EVENTS_API == "events.k8s.io/v1"
    assert made == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "rec.abc", "namespace": "media"},
        "eventTime": "2026-01-02T03:04:05.500000Z",
        "reportingController": "mediafleet.dev/egress",
        "reportingInstance": "desk-0",
        "action": "Reconcile",
        "reason": "JobsLost",
        "type": "Warning",
        "note": "rec-0 is gone.",
        "regarding": {
            "apiVersion": "mediafleet.dev/v1alpha1",
            "kind": "EgressFleet",
            "namespace": "media",
            "name": "rec",
            "uid": "uid-1",
        },
    }


def test_what_the_api_server_would_refuse_for_its_length_is_cut() -> None:
    """It takes names of 253 characters, instances of 128 and notes of 1,024."""
    fleet = Regarding(Kind.EGRESS_FLEET, "media", "n" * 253, "uid-1")
    long = EventToPost("Normal", Reason.SCALED_UP, "x" * 2000)
    made = event(fleet, long, Reporter("operator", "i" * 200), 0.0, "s" * 36)
    assert made["metadata"]["name"] == "n" * 200 + "." + "s" * 36
    assert made["reportingInstance"] == "i" * 128
    assert made["note"] == "x" * 1000
