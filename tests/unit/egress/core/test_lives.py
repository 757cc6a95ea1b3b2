"""Whether a pod's process is still the one that took a job."""

from __future__ import annotations

from mediafleet_common.api.egress.costs import RequestType
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.lives import Lives

NOW = 1_000_000.0


def job(started_at: float | None) -> Job:
    return Job("e1", "/rec", "p0", "u0", "c0", RequestType.TRACK, 0.5, "t", NOW, started_at)


def test_a_worker_that_was_killed_and_started_again_is_known_by_its_node_id() -> None:
    lives = Lives()
    assert not lives.read("u0", "NE_1", NOW)
    assert not lives.read("u0", "NE_1", NOW + 5)
    assert not lives.ended_with(job(NOW + 1))
    assert lives.read("u0", "NE_2", NOW + 10)
    assert lives.ended_with(job(NOW + 1))
    assert not lives.ended_with(job(NOW + 7)), "which of the two took it is not known"
    assert not lives.ended_with(job(None))


def test_a_worker_that_does_not_tell_its_node_id_proves_nothing() -> None:
    lives = Lives()
    for node_id in (None, "NE_1", None, "NE_1"):
        assert not lives.read("u0", node_id, NOW)
    assert not lives.ended_with(job(NOW))


def test_nobody_listens_until_somebody_does() -> None:
    lives = Lives()
    assert not lives.is_unreachable("u0")
    lives.unreachable("u0")
    assert lives.is_unreachable("u0")
    lives.read("u0", None, NOW)
    assert not lives.is_unreachable("u0")


def test_pods_that_are_gone_are_forgotten() -> None:
    lives = Lives()
    lives.unreachable("u0")
    lives.keep_only(["u1"])
    assert not lives.is_unreachable("u0")
