"""What `mediafleet doctor` finds, from facts as servers give them."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.testing import CliRunner

from mediafleet.commands import app
from mediafleet.doctor import command, fleets, keda, processes, rights
from mediafleet.doctor.cluster import Facts, examine
from mediafleet.doctor.files import never_fits, worker_findings
from mediafleet.doctor.findings import Finding, Level, Page, Unread
from mediafleet.doctor.redis import RECORDS, STARTS, RedisFacts
from mediafleet.doctor.redis import examine as examine_redis
from mediafleet_common.api.crds import crd
from mediafleet_common.api.egress.fleet import EgressFleetSpec
from mediafleet_common.api.names import Kind
from mediafleet_common.probes.http_client import Failure, NoLoad
from mediafleet_common.probes.load import Load
from mediafleet_scheduler.directory.entries_file import FleetEntry, WorkerEntry

NOW = 1_785_542_400.0  # 2026-08-01T00:00:00Z
SAMPLES = Path(__file__).resolve().parents[3] / "samples"


def resource(file: str, **status: Any) -> dict[str, Any]:
    """A sample as the API server gives it, looked at by the operator."""
    raw: dict[str, Any] = yaml.safe_load((SAMPLES / file).read_text())
    raw["metadata"] |= {"namespace": "media", "generation": 1}
    raw["status"] = {"observedGeneration": 1, **status}
    return raw


def lease(renewed: str = "2026-07-31T23:59:50.000000Z") -> dict[str, Any]:
    spec = {"holderIdentity": "operator-0", "renewTime": renewed, "leaseDurationSeconds": 15}
    return {"metadata": {"namespace": "media"}, "spec": spec}


def deployment(name: str = "egress", ready: int = 2, image: str = "m:1") -> dict[str, Any]:
    return {
        "metadata": {"namespace": "media", "name": name},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [{"image": image}]}}},
        "status": {"readyReplicas": ready},
    }


def certificate(days: float) -> dict[str, Any]:
    """A Secret of a certificate that is valid for so many days more."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "desk")])
    ends = datetime.fromtimestamp(NOW, UTC) + timedelta(days=days)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(ends - timedelta(days=90))
        .not_valid_after(ends)
        .sign(key, hashes.SHA256())
    )
    from cryptography.hazmat.primitives.serialization import Encoding

    pem = base64.b64encode(made.public_bytes(Encoding.PEM)).decode()
    return {"metadata": {"namespace": "media", "name": "scaler"}, "data": {"tls.crt": pem}}


def endpoints(namespace: str, service: str, *ready: bool | None) -> dict[str, Any]:
    """A slice of a Service, with an end for each; `None`: it does not say so, which is Ready."""
    return {
        "metadata": {"namespace": namespace, "labels": {"kubernetes.io/service-name": service}},
        "endpoints": [{"conditions": {} if each is None else {"ready": each}} for each in ready],
    }


WELL = Facts(
    version="v1.36.3",
    crds={kind: crd(kind) for kind in Kind},
    deployments=[deployment()],
    pods=[],
    leases=[lease()],
    fleets=[
        resource("egress-fleet.yaml"),
        resource("orchestrator-pool.yaml"),
        resource("ai-worker-pool.yaml"),
    ],
    keda=keda.Facts(False),
    certificates=[certificate(60)],
)


def problems(facts: Facts) -> list[Finding]:
    return [each for each in examine(facts, NOW) if each.level is Level.PROBLEM]


def test_a_well_installation_has_no_problems_and_nothing_that_was_not_examined() -> None:
    found = list(examine(WELL, NOW))
    assert {each.level for each in found} == {Level.OK, Level.NOTE}
    assert all(each.fix and each.link for each in found if each.level is not Level.OK)


def test_every_finding_has_its_section_and_every_section_its_finding() -> None:
    text = (SAMPLES.parent / "docs/doctor.md").read_text(encoding="utf-8")
    sections = re.findall(r"^### (\S+)$", text, re.M)
    assert sections == [each.value for each in Page]


@pytest.mark.parametrize(
    ("change", "subject", "words"),
    [
        ({"version": "v1.32.9"}, "Kubernetes", "older than 1.33"),
        ({"version": "who knows"}, "Kubernetes", "older than 1.33"),
        (
            {"crds": {Kind.EGRESS_FLEET: None}},
            "resource EgressFleet",
            "the cluster does not know it",
        ),
        ({"leases": []}, "operator", "nobody holds its Lease"),
        ({"leases": [lease("2026-07-31T23:59:44.999Z")]}, "operator", "nobody holds its Lease"),
        ({"deployments": [deployment(ready=0)]}, "Deployment media/egress", "0 of 2 pods"),
        ({"certificates": [certificate(13)]}, "certificate media/scaler", "ends in 13 days"),
        ({"certificates": [certificate(-2)]}, "certificate media/scaler", "ended 2 days ago"),
        ({"endpoints": [endpoints("media", "egress", False)]}, "Service media/egress", "no Ready"),
        (
            {"certificates": [{"metadata": {"namespace": "a", "name": "b"}, "data": {}}]},
            "certificate a/b",
            "cannot be read",
        ),
    ],
)
def test_each_fault_is_one_problem_with_a_fix(
    change: dict[str, Any], subject: str, words: str
) -> None:
    (found,) = problems(replace(WELL, **change))
    assert (found.subject, words in found.what, bool(found.fix)) == (subject, True, True), found
    assert found.link is not None


UNREADABLE = [
    *("version", "deployments", "leases", "fleets", "certificates", "rights", "endpoints"),
]


@pytest.mark.parametrize("field", UNREADABLE)
def test_what_may_not_be_read_is_unknown_and_no_problem(field: str) -> None:
    unread: dict[str, Any] = {field: Unread("HTTP 403: forbidden")}
    found = list(examine(replace(WELL, **unread), NOW))
    unknown = [each for each in found if each.level is Level.UNKNOWN]
    assert [each.what.endswith("HTTP 403: forbidden") for each in unknown] == [True]
    assert not [each for each in found if each.level is Level.PROBLEM]


def test_a_definition_of_another_version_and_a_half_done_upgrade_are_notes() -> None:
    old = crd(Kind.EGRESS_FLEET)
    del old["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    facts = replace(
        WELL,
        version="v1.37.0",
        crds={Kind.EGRESS_FLEET: old},
        deployments=[deployment(), deployment("operator", ready=1, image="m:2")],
    )
    notes = {each.subject: each.what for each in examine(facts, NOW) if each.level is Level.NOTE}
    assert "another version" in notes["resource EgressFleet"]
    assert notes["Deployments"] == "run different images: m:1, m:2"
    assert "1 of 2" in notes["Deployment media/operator"]
    assert "newer than 1.36" in notes["Kubernetes"]


def test_a_container_that_starts_again_and_again_is_a_problem_with_its_reason() -> None:
    state = {"terminated": {"reason": "OOMKilled"}}
    statuses = [
        {"name": "egress", "restartCount": 3, "lastState": state},
        {"name": "other", "restartCount": 2},
    ]
    pod = {
        "metadata": {"namespace": "media", "name": "egress-1"},
        "status": {"containerStatuses": statuses},
    }
    (found,) = problems(replace(WELL, pods=[pod]))
    assert found.what == "container egress started again 3 times, the last time OOMKilled"
    assert found.fix == "kubectl -n media logs egress-1 -c egress --previous"


def test_keda_is_missed_where_a_fleet_is_scaled_by_it_alone() -> None:
    fleet = resource("egress-fleet.yaml")
    fleet["spec"]["autoscaling"] = {"engine": "keda", "min": 0, "max": 3}
    facts = replace(WELL, fleets=[fleet])
    assert [each.subject for each in problems(facts)] == ["KEDA"]
    up = {"status": {"conditions": [{"type": "Available", "status": "True"}]}}
    assert not problems(replace(facts, keda=keda.Facts(True, api=up)))
    unread = replace(facts, keda=keda.Facts(Unread("HTTP 403")))
    assert [e.subject for e in examine(unread, NOW) if e.level is Level.UNKNOWN] == ["KEDA"]


@pytest.mark.parametrize("most", [{"maxNodes": 20}, {}])
def test_of_a_pool_it_is_said_how_many_nodes_a_gateway_must_ask_for(most: dict[str, int]) -> None:
    pool = resource("orchestrator-pool.yaml")
    pool["spec"]["advertise"] = most
    (fix,) = [each.fix for each in fleets.examine(pool) if each.page is Page.EXTRA_NODES]
    number = most.get("maxNodes", "N, at least as many as the pool has nodes")
    assert fix == f"start each gateway with -extraNodes {number}"


def test_a_type_that_costs_more_than_a_pod_has_is_a_problem_unless_it_is_not_accepted() -> None:
    fleet = resource("egress-fleet.yaml")
    fleet["spec"]["placement"]["cpu"] = 2
    kinds = [each.what for each in fleets.examine(fleet) if each.level is Level.PROBLEM]
    assert [what.partition(" costs")[0] for what in kinds] == [
        "a job of type room_composite",
        "a job of type web",
    ]
    fleet["spec"]["accepts"] = ["track"]
    assert [each for each in fleets.examine(fleet) if each.level is Level.PROBLEM] == []


def test_the_cpus_of_a_pod_may_stand_in_its_limits() -> None:
    fleet = resource("egress-fleet.yaml")
    fleet["spec"]["placement"] = {}
    limits = {"cpu": "1500m", "memory": "4Gi"}
    containers = [{"name": "egress", "resources": {"limits": limits}}]
    fleet["spec"]["template"] = {"spec": {"containers": containers}}
    found = list(fleets.examine(fleet))
    assert "more than the 1.5" in found[0].what
    assert not [each for each in found if "memory" in each.what]


@pytest.mark.parametrize(
    ("file", "container"), [("egress-fleet.yaml", "egress"), ("orchestrator-pool.yaml", "node")]
)
def test_pods_that_request_next_to_no_cpu_are_a_note(file: str, container: str) -> None:
    def notes(**resources: Any) -> list[str]:
        raw = resource(file)
        containers = [{"name": container, "resources": resources}]
        raw["spec"]["template"] = {"spec": {"containers": containers}}
        return [each.what for each in fleets.examine(raw) if each.page is Page.CPU]

    assert "request 0.05 CPUs" in notes(requests={"cpu": "50m"}, limits={"cpu": "4"})[0]
    assert "request 0 CPUs" in notes()[0]
    assert notes(requests={"cpu": "100m"}) == notes(limits={"cpu": "4"}) == []


def test_a_resource_that_the_models_refuse_names_its_field() -> None:
    fleet = resource("egress-fleet.yaml")
    fleet["spec"]["replicas"] = "many"
    (found,) = [each for each in fleets.examine(fleet) if each.level is Level.PROBLEM]
    assert found.what.startswith("spec.replicas: ")


@pytest.mark.parametrize(
    ("finalizers", "level"), [([], Level.NOTE), (["example.com/hold"], Level.PROBLEM)]
)
def test_a_resource_that_is_being_deleted_is_told_so_and_of_no_operator(
    finalizers: list[str], level: Level
) -> None:
    fleet = resource("egress-fleet.yaml")
    fleet["metadata"] |= {"generation": 2, "finalizers": finalizers, "deletionTimestamp": "x"}
    (found,) = [each for each in fleets.examine(fleet) if each.page is Page.DELETED]
    assert (found.level, all(each in found.what for each in finalizers)) == (level, True)
    assert not [each for each in fleets.examine(fleet) if each.page is Page.NOT_LOOKED_AT]


def test_what_conditions_say_is_a_problem_and_the_usual_comings_and_goings_are_not() -> None:
    def condition(kind: str, status: str) -> dict[str, str]:
        return {"type": kind, "status": status, "message": "M.", "reason": "R"}

    usual = [condition("Draining", "True"), condition("Progressing", "True")]
    fleet = resource("egress-fleet.yaml", conditions=usual)
    assert not [each for each in fleets.examine(fleet) if each.level is Level.PROBLEM]
    fleet["status"]["conditions"] = [condition("CostsDiffer", "True")]
    (found,) = [each for each in fleets.examine(fleet) if each.level is Level.PROBLEM]
    assert (found.what, found.fix) == ("CostsDiffer: M.", "docs/runbook.md, reason R")


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (EgressFleetSpec.model_fields["image"].default, None),
        ("livekit/egress:v1.14.1", None),
        ("registry:5000/egress:v1.14.1@sha256:ab", None),
        ("livekit/egress:v1.9.0", "1.9 is not the version"),
        ("registry:5000/egress", "cannot be told"),
        ("livekit/egress:latest", "cannot be told"),
        (None, None),
    ],
)
def test_versions_beside_the_tested_one_are_noted(image: str | None, words: str | None) -> None:
    fleet = resource("egress-fleet.yaml")
    if image:
        fleet["spec"]["image"] = image
    told = [each.what for each in fleets.examine(fleet) if "version" in each.what]
    assert [words in what for what in told if words] == ([True] if words else [])


def test_a_service_of_two_slices_serves_by_either_and_one_that_does_not_say_is_ready() -> None:
    slices = [endpoints("a", "x", False), endpoints("a", "x", True), endpoints("a", "y", None)]
    assert not problems(replace(WELL, endpoints=slices))


def test_databases_of_one_server_are_two_environments() -> None:
    one, other, third = (resource("egress-fleet.yaml") for _ in range(3))
    one["spec"]["redis"] = {"address": "r:6379"}
    third["spec"]["redis"] = {"address": "s:6379", "db": 3}
    other["spec"]["redis"] = {"address": "r:6379", "db": 0}
    assert not list(fleets.together([one, other, third]))
    other["spec"]["redis"]["db"] = 2
    (found,) = fleets.together([one, other, third])
    assert (found.page, found.subject) == (Page.ENVIRONMENTS, "Redis r:6379")


def test_keda_that_no_hpa_reaches_or_of_another_version_is_said() -> None:
    fleet = resource("egress-fleet.yaml")
    fleet["spec"]["autoscaling"] = {"engine": "keda", "min": 0, "max": 3}

    def told(**change: Any) -> list[tuple[Level, str]]:
        found = keda.examine(replace(keda.Facts(True, api=UP), **change), [fleet])
        return [(each.level, each.what) for each in found]

    def version(number: str) -> list[dict[str, Any]]:
        return [{"metadata": {"labels": {"app.kubernetes.io/version": number}}}]

    assert told(operators=version("2.21.4")) == [(Level.OK, "2.21.4")]
    assert told(operators=version("2.9.0"))[0][0] is Level.NOTE
    assert told(operators=version(""))[0][0] is Level.OK
    assert told(api=None)[0][1].endswith("there is none")
    down = {"type": "Available", "status": "False", "message": "no endpoints"}
    assert told(api={"status": {"conditions": [down]}})[0][1].endswith("no endpoints")
    unread = Unread("HTTP 403")
    assert [level for level, _ in told(api=unread, operators=unread)] == [Level.UNKNOWN] * 2


UP = {"status": {"conditions": [{"type": "Available", "status": "True"}]}}


def operating(*arguments: str, component: str = "operator") -> dict[str, Any]:
    """A Deployment of the chart."""
    raw = deployment()
    raw["metadata"]["labels"] = {"app.kubernetes.io/component": component}
    pod = raw["spec"]["template"]["spec"]
    pod["serviceAccountName"] = "mf"
    pod["containers"][0]["args"] = ["operator", *arguments]
    return raw


@pytest.mark.parametrize(
    ("arguments", "namespaces"),
    [
        ((), {""}),
        (("--namespace", "a", "--namespace=b", "--http", "c"), {"a", "b"}),
    ],
)
def test_rights_are_asked_for_in_each_namespace_that_is_served(
    arguments: tuple[str, ...], namespaces: set[str]
) -> None:
    asked = list(rights.questions([operating(*arguments)]))
    assert {each.namespace for each in asked} == namespaces
    status = next(each for each in asked if each.resource == "pods/status")
    spec = status.body()["spec"]
    assert spec["user"] == "system:serviceaccount:media:mf"
    assert (spec["resourceAttributes"]["resource"], spec["resourceAttributes"]["subresource"]) == (
        "pods",
        "status",
    )
    assert not list(rights.questions([operating(component="collector")]))


def test_an_account_that_lacks_rights_is_one_problem_with_the_first_few() -> None:
    asked = list(rights.questions([operating(), operating("--namespace=a", component="egress")]))
    answers = [rights.Answer(each, each.verb != "patch") for each in asked]
    (found,) = rights.examine(answers)
    assert found.level is Level.PROBLEM
    assert found.what.startswith("may not patch egressfleets, ")
    assert " more" in found.what
    assert [e.level for e in rights.examine([rights.Answer(e, True) for e in asked])] == [Level.OK]
    (one,) = rights.examine([rights.Answer(asked[-1], False)])
    assert one.what == "may not create events in a"


def scrape(now: dict[str, float] | None = None, later: dict[str, float] | None = None) -> Any:
    return processes.Scrape("media/desk-0", now or {}, later)


def told_of(scraped: processes.Scrape, changed: float | None) -> list[Page | None]:
    return [each.page for each in processes.examine(scraped, changed, NOW)]


@pytest.mark.parametrize(
    ("age", "changed", "stale"),
    [
        (1000, 1000, False),  # heard of it
        (1000, 500, True),  # a pod changed since
        (1000, 60, False),  # only just
        (1000, None, False),  # nothing there that could change
        (float("inf"), 500, True),
        (10, 500, False),
    ],
)
def test_a_watch_is_stale_when_something_changed_that_it_has_not_heard_of(
    age: float, changed: float | None, stale: bool
) -> None:
    at = None if changed is None else NOW - changed
    assert told_of(scrape({processes.AGE: age}), at) == ([Page.STALE] if stale else [None])


def test_the_newest_change_is_a_making_a_deletion_or_a_condition() -> None:
    pod = {"metadata": {"creationTimestamp": "2026-07-31T00:00:00Z"}}
    at = {"lastTransitionTime": "2026-07-31T23:00:00Z"}
    changed = {**pod, "status": {"conditions": [at, {}]}}
    assert processes.last_change([pod]) == NOW - 86400
    assert processes.last_change([pod, changed]) == NOW - 3600
    assert processes.last_change([]) is None


def test_a_process_tells_of_its_redis_and_of_what_it_cannot_read() -> None:
    assert told_of(scrape({processes.SHARED: 1}), None) == [Page.ENVIRONMENTS]
    failed = {processes.REDIS_FAILED: 3.0}
    assert told_of(scrape(failed, failed), None) == [None]
    assert told_of(scrape(failed, {processes.REDIS_FAILED: 4.0}), None) == [Page.REDIS_AWAY]
    assert told_of(scrape({}, {processes.LEDGER_FAILED: 1.0}), None) == [Page.REDIS_AWAY]
    assert told_of(scrape({processes.UNREADABLE: 2}), None) == [Page.UNREADABLE]
    away = processes.Scrape("media/desk-0", Unread("HTTP 403"))
    assert [each.level for each in processes.examine(away, None, NOW)] == [Level.UNKNOWN]


def test_metrics_are_summed_over_labels() -> None:
    text = '# TYPE a counter\na_total{x="1"} 2\na_total{x="2"} 3\n# TYPE b gauge\nb 1\n'
    assert processes.read(text) == {"a_total": 5, "b": 1}


def worker(**more: Any) -> WorkerEntry:
    given = {"name": "w", "cluster_id": "w", "metrics": "http://127.0.0.1:9", "cpu": 4}
    return WorkerEntry.model_validate({**given, **more})


@pytest.mark.parametrize(
    ("entry", "answer", "level", "words"),
    [
        (worker(), Load(jobs=2), Level.OK, "answers, with 2 jobs"),
        (worker(), Load(), Level.OK, "answers, with an unknown number of jobs"),
        (worker(), None, Level.NOTE, "has no metrics"),
        (worker(), NoLoad(Failure.UNREACHABLE, "refused"), Level.PROBLEM, "refused"),
        (worker(), Load(cluster_id="x"), Level.PROBLEM, "calls itself x"),
        (worker(), Load(disabled=True), Level.PROBLEM, "takes no job"),
        (worker(state="draining"), Load(disabled=True), Level.OK, "answers"),
        (worker(cpu=None), Load(), Level.PROBLEM, "its CPUs are unknown"),
    ],
)
def test_a_worker_of_a_file_is_examined_by_its_metrics(
    entry: WorkerEntry, answer: Load | NoLoad | None, level: Level, words: str
) -> None:
    fleet = FleetEntry(name="a", workers=[entry])
    (found,) = worker_findings(fleet, entry, answer)
    assert (found.level, words in found.what, found.subject) == (level, True, "worker a/w"), found


def test_of_a_file_s_fleet_the_largest_worker_counts_and_an_unknown_one_says_nothing() -> None:
    small, large, unknown = worker(cpu=2), worker(name="x", cluster_id="x"), worker(cpu=None)
    assert len(list(never_fits(FleetEntry(name="a", workers=[small])))) == 2
    assert not list(never_fits(FleetEntry(name="a", workers=[small, large])))
    assert not list(never_fits(FleetEntry(name="a", workers=[unknown])))


FIT = RedisFacts("r:6379", 0, info={"redis_version": "7.0.15"}, listeners={STARTS: 1, RECORDS: 1})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"away": "refused"}, "does not answer: refused"),
        ({"info": {"role": "slave"}}, "is a replica"),
        (
            {"info": {"maxmemory_policy": "allkeys-lru", "maxmemory": 5}},
            "may throw the ledger away",
        ),
        ({"ledger": Unread("NOPERM")}, "scripts do not run: NOPERM"),
        ({"pubsub": Unread("NOPERM")}, "pub/sub does not work: NOPERM"),
        ({"listeners": {STARTS: 1}}, "no livekit-server listens here"),
        ({"listeners": {RECORDS: 1}}, "nobody listens for StartEgress"),
    ],
)
def test_a_redis_that_is_not_fit_is_a_problem(change: dict[str, Any], words: str) -> None:
    found = list(examine_redis(replace(FIT, **change)))
    (problem,) = [each for each in found if each.level is Level.PROBLEM]
    assert (words in problem.what, bool(problem.fix)) == (True, True), problem


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ledgers": ("0", "3")}, "has ledgers of database 3 beside 0"),
        ({"info": {"redis_version": "6.2.1"}}, "Redis 6.2.1 is not a version"),
        ({"info": {"valkey_version": "8.0.0"}}, "Valkey 8.0.0 is not a version"),
        ({"ahead_seconds": 12.2}, "its clock is 12 s ahead of"),
        ({"ahead_seconds": -3.0}, "its clock is 3 s behind"),
    ],
)
def test_a_redis_of_two_environments_and_clocks_apart_are_notes(
    change: dict[str, Any], words: str
) -> None:
    (note,) = [e for e in examine_redis(replace(FIT, **change)) if e.level is Level.NOTE]
    assert (words in note.what, bool(note.fix)) == (True, True)


def test_a_redis_that_tells_little_is_not_examined_in_that_alone() -> None:
    silent = Unread("NOPERM")
    facts = replace(FIT, info=silent, ledgers=silent, listeners=silent, ahead_seconds=silent)
    assert [each.level for each in examine_redis(facts)] == [
        Level.OK,
        Level.UNKNOWN,
        Level.UNKNOWN,
        Level.UNKNOWN,
    ]
    assert not [
        e
        for e in examine_redis(replace(FIT, info={"maxmemory_policy": "allkeys-lru"}))
        if e.level is Level.PROBLEM
    ]


@pytest.mark.parametrize(("file", "status"), [("fleets: []", 0), ("fleets: [{}]", 1)])
def test_the_command_says_what_is_wrong_and_its_status_tells_it(
    tmp_path: Path, file: str, status: int
) -> None:
    path = tmp_path / "workers.yaml"
    path.write_text(file)
    result = CliRunner().invoke(app, ["doctor", "--workers", str(path), "-o", "json"])
    assert result.exit_code == status, result.output
    (found,) = json.loads(result.output)
    assert found["subject"] == str(path)
    table = CliRunner().invoke(app, ["doctor", "--workers", str(path)])
    assert ("1 problem, of 1 findings." in table.output) == bool(status)
    assert "fleets.0.name" in table.output or not status


def test_a_file_that_is_none_is_a_problem_without_a_traceback(tmp_path: Path) -> None:
    for option in ("--workers", "--nodes"):
        result = CliRunner().invoke(app, ["doctor", option, str(tmp_path), "-o", "json"])
        (found,) = json.loads(result.output)
        assert (found["level"], found["what"]) == ("problem", "it is no regular file")


def test_a_cluster_that_is_away_is_said_with_the_other_ways(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mediafleet_common.kube.errors import UnreachableError

    async def away(*_: object) -> list[Finding]:
        raise UnreachableError("GET /version: refused")

    monkeypatch.setattr(command, "_examined", away)
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 1
    assert "no cluster is reachable: GET /version: refused" in result.output
    assert "--redis URL" in result.output
