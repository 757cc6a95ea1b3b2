"""Costs that a desk learns: from stand-in workers, sent along with requests, and shown."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from tests.kit.egress.scene import of_kind
from typer.testing import CliRunner

from mediafleet.commands import app
from mediafleet.tools import asking, desk_view
from mediafleet.tools import costs as command
from mediafleet_common.api.egress.costs import RequestType
from mediafleet_common.api.egress.placement import LearnedCosts, Placement, Use
from mediafleet_common.api.names import PodState
from mediafleet_common.probes.load import Load
from mediafleet_common.reports.costs import LearnedReport
from mediafleet_common.reports.explanation import Explanation
from mediafleet_common.wire.egress_pb2 import StartEgressRequest
from mediafleet_scheduler.core.egress.accounting.accounts import Job
from mediafleet_scheduler.core.egress.accounting.ledger import Ledger
from mediafleet_scheduler.core.egress.requests import classify, with_estimated_cpu
from mediafleet_scheduler.core.egress.views import Fleet, Worker
from mediafleet_scheduler.egress.places.costs import Costs
from mediafleet_testbed.standins.egress_rules import Admission

KINDS = (RequestType.TRACK, RequestType.WEB, RequestType.PARTICIPANT, RequestType.ROOM_COMPOSITE)
REAL_SHARE = 0.6


def fleet(use: Use, workers: int = 5) -> Fleet:
    pods = tuple(
        Worker(f"p{n}", f"u{n}", f"c{n}", None, 16.0, None, PodState.READY) for n in range(workers)
    )
    placement = Placement(learned_costs=LearnedCosts(use=use))
    return Fleet("live", "rec", placement, frozenset(RequestType), None, pods)


def learn(of: Fleet, jobs: int, seed: int = 1) -> Costs:
    """Stand-in workers run so many jobs on a virtual clock, and the desk reads their load."""
    chance, ledger = random.Random(seed), Ledger()
    costs = Costs(ledger)
    costs.follow([of])
    workers = [Admission(16.0, real_share=REAL_SHARE) for _ in of.workers]
    ends: list[tuple[float, int, str]] = []
    now, begun = 1000.0, 0
    while begun < jobs or ends:
        for end in [each for each in ends if each[0] <= now]:
            ends.remove(end)
            workers[end[1]].ended(end[2])
            ledger.drop(end[2])
        number, kind = chance.randrange(len(workers)), chance.choice(KINDS)
        wanted = of_kind(kind, f"EG_{begun}")
        if begun < jobs and chance.random() < 0.2 and workers[number].can_accept(wanted, now):
            workers[number].started(wanted, now)
            uid = of.workers[number].uid
            ledger.put(Job(wanted.egress_id, of.key, uid, uid, "c", kind, 1.0, "t", now, now))
            ends.append((now + chance.uniform(60, 600), number, wanted.egress_id))
            begun += 1
        for worker, admission in zip(of.workers, workers, strict=True):
            load = Load(
                jobs=len(ledger.on(worker.uid)),
                cpu_load=min(1.0, admission.really_used() / admission.cpus),
            )
            costs.read(of, worker, load, now)
        now += 5.0
    return costs


def test_after_200_jobs_costs_are_within_15_percent_of_what_stand_ins_use() -> None:
    of = fleet(Use.APPLY)
    learned = learn(of, 200).learned(of)
    assert set(learned.costs) == set(KINDS)
    for kind, cost in learned.costs.items():
        true = of.placement.cpu_cost.of(kind) * REAL_SHARE
        assert cost.sure, kind
        assert cost.cores == pytest.approx(true, rel=0.15)


def test_only_a_fleet_that_applies_them_sends_them() -> None:
    of = fleet(Use.APPLY)
    costs = learn(of, 200)
    assert costs.estimate(of, RequestType.WEB) == pytest.approx(2.4, rel=0.15)
    assert costs.estimate(of, RequestType.TRACK_COMPOSITE) is None, "none was seen"
    observing = replace(of, placement=fleet(Use.OBSERVE).placement)
    assert costs.estimate(observing, RequestType.WEB) is None
    none = fleet(Use.NONE)
    assert learn(none, 30).learned(none).costs == {}


def test_what_was_learnt_ends_with_the_fleet() -> None:
    of = fleet(Use.APPLY)
    costs = learn(of, 200)
    costs.follow([])
    assert costs.estimate(of, RequestType.WEB) is None


def test_jobs_that_the_ledger_does_not_know_teach_nothing() -> None:
    of, ledger = fleet(Use.OBSERVE, workers=1), Ledger()
    costs = Costs(ledger)
    ledger.put(Job("EG_1", of.key, "p0", "u0", "c", RequestType.WEB, 4.0, "t", 0.0, 0.0))
    for at in range(100, 1000, 5):
        costs.read(of, of.workers[0], Load(jobs=2, cpu_load=0.5), float(at))
    assert costs.learned(of).observations == 0


def test_the_estimate_is_added_and_every_other_byte_stays() -> None:
    unknown = b"\xfa\x3f\x03abc"  # Field 1023, as a later release may have it.
    payload = of_kind(RequestType.WEB, "EG_1").SerializeToString() + unknown
    sent = with_estimated_cpu(payload, 2.5)
    assert sent.startswith(payload)
    assert len(sent) == len(payload) + 9
    assert StartEgressRequest.FromString(sent).estimated_cpu == 2.5
    assert classify(sent).estimated_cores == 2.5


def told(monkeypatch: pytest.MonkeyPatch, *more: str, use: Use = Use.APPLY) -> str:
    of = fleet(use)
    report = LearnedReport(fleets=list(learn(of, 200).reported([of])))
    text = report.model_dump_json(by_alias=False)
    monkeypatch.setattr(command, "fetch", lambda *_, **__: text)
    nothing = Explanation(type=RequestType.TRACK, at=0.0, fleets=[]).model_dump_json()
    monkeypatch.setattr(desk_view, "fetch", lambda *_: nothing)
    monkeypatch.setattr(asking, "fetch_if_there", lambda *_, **__: None)
    result = CliRunner().invoke(app, ["status", "--desk", "http://desk:8080", *more])
    assert result.exit_code == 0, result.output
    return result.output


def test_status_shows_them_beside_the_configured_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    text = told(monkeypatch)
    assert "live/rec  what is sure is sent" in text
    web = next(line.split() for line in text.splitlines() if line.startswith("web"))
    assert web[:2] == ["web", "4"]
    assert float(web[2]) == pytest.approx(2.4, rel=0.15)
    assert web[5] == "yes"
    assert float(web[6]) >= float(web[2])


def test_status_as_json_and_of_one_fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    data = json.loads(told(monkeypatch, "rec", "-o", "json", use=Use.OBSERVE))
    types = {each["type"]: each for each in data["fleets"][0]["types"]}
    assert types["web"]["sent"] is None
    assert types["web"]["sure"] is True
    result = CliRunner().invoke(app, ["status", "other", "--desk", "http://desk:8080"])
    assert result.exit_code == 1
    assert "the desk serves no fleet called other" in result.output
