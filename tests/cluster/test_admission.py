"""What the API server takes and refuses of our resources, drawn from their own schema.

CRD and models refuse the same, and what is taken stops no process: the operator carries on, with
condition TemplateValid False where no pod can be made, and desks make a view of it.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.cluster.test_operator_refusals import MODEL, SERVING
from tests.kit.api.survival import (
    advertiser_serves,
    broker_serves,
    desk_serves,
    operator_serves,
    reporter_serves,
)
from tests.kit.api.values import Json, Schema, pods, specs
from tests.kit.watching.api import Api, ApiRefusedError

from mediafleet_common.api.crds import MODELS, crd
from mediafleet_common.api.names import API_VERSION, GROUP, PLURALS, Kind
from mediafleet_common.api.reading import strictly
from mediafleet_testbed.node import Node
from mediafleet_testbed.paths import REPOSITORY

EXAMPLES: Final = int(os.environ.get("MEDIAFLEET_ADMISSIONS", "100"))
FUZZ: Final = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="MEDIAFLEET_ADMISSIONS" not in os.environ,
    suppress_health_check=list(HealthCheck),
    database=None,
)
NAMESPACE: Final = "default"
BAD_TEMPLATE: Final = {"template": {"spec": {"volumes": [1]}}}
QUERY: Final = "?dryRun=All&fieldValidation=Strict"

Test = Callable[..., None]

pytestmark = pytest.mark.timeout(3600)


class Server:
    """The API server, which is asked and keeps nothing."""

    def __init__(self, runner: asyncio.Runner, api: Api) -> None:
        self._runner = runner
        self._api = api

    def takes(self, path: str, body: Json) -> Json | None:
        """The object as it would be kept; `None`: it is refused."""
        try:
            taken: Json = self._runner.run(self._api.post(f"{path}{QUERY}", body))
        except ApiRefusedError as error:
            if error.status not in (400, 422):
                raise
            return None
        return taken

    def takes_spec(self, kind: Kind, spec: Json) -> Json | None:
        """The same of one of our resources."""
        path = f"/apis/{API_VERSION}/namespaces/{NAMESPACE}/{PLURALS[kind]}"
        meta = {"name": "fuzz", "namespace": NAMESPACE}
        body = {"apiVersion": API_VERSION, "kind": kind.value, "metadata": meta, "spec": spec}
        taken = self.takes(path, body)
        return None if taken is None else kept(taken)

    def serves(self, raw: Json) -> None:
        """Have an operator serve it."""
        sharing = raw["kind"] == Kind.COMMUNITY_METRICS.value
        self._runner.run((reporter_serves if sharing else operator_serves)(raw))


def kept(raw: Json) -> Json:
    """With what a dry run leaves out."""
    return {**raw, "metadata": {"uid": "uid-fuzz", "resourceVersion": "7", **raw["metadata"]}}


@pytest.fixture(scope="module")
def server(node: Node) -> Iterator[Server]:
    node.kubectl("apply", "-f", str(REPOSITORY / "crds"), "--server-side", "--force-conflicts")
    for plural in PLURALS.values():
        node.kubectl("wait", "--for=condition=Established", f"crd/{plural}.{GROUP}")
    with asyncio.Runner() as runner:
        api = Api(node.kubeconfig)
        runner.run(api.__aenter__())
        yield Server(runner, api)
        runner.run(api.__aexit__(None, None, None))


def schema_of(kind: Kind) -> Schema:
    schema: Schema = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    found: Schema = schema["properties"]["spec"]
    return found


def refusal_of_model(kind: Kind, spec: Json) -> str | None:
    """Why the model refuses it; `None`: it does not."""
    try:
        strictly(MODELS[kind], {"kind": kind.value, "spec": spec}, unknown="forbid")
    except ValidationError as error:
        return str(error)
    return None


def judge(server: Server, kind: Kind, spec: Json, beside: list[Json], folder: Path) -> None:
    taken, refusal = server.takes_spec(kind, spec), refusal_of_model(kind, spec)
    assert (taken is None) == (refusal is not None), (spec, refusal)
    if taken is None:
        return
    server.serves(taken)
    match kind:
        case Kind.EGRESS_FLEET:
            desk_serves(taken, beside, folder)
        case Kind.ORCHESTRATOR_POOL:
            advertiser_serves(taken, beside)
        case Kind.AI_WORKER_POOL:
            broker_serves(taken, beside)


RECIPIENT: Final = {"name": "a", "url": "https://a.example/w", "operator": "me"}
SHARED: Final = {"pool": "nodes", "region": "eu"}


def fuzzed(kind: Kind) -> Callable[[Test], Test]:
    return given(spec=specs(schema_of(kind)), beside=st.lists(pods(kind), max_size=2))


@FUZZ
@fuzzed(Kind.EGRESS_FLEET)
@example(spec={"template": {"spec": {"containers": ["x"]}}}, beside=[])
@example(spec={"template": {"spec": {"containers": [{"name": "x", "env": [{}]}]}}}, beside=[])
@example(spec={"redis": {"address": "[::1%eth0]:6379"}}, beside=[])
def test_fleets_that_are_taken_stop_nothing_and_others_no_model_takes(
    server: Server, tmp_path_factory: pytest.TempPathFactory, spec: Json, beside: list[Json]
) -> None:
    judge(server, Kind.EGRESS_FLEET, spec, beside, tmp_path_factory.getbasetemp())


@FUZZ
@fuzzed(Kind.ORCHESTRATOR_POOL)
@example(spec={"advertise": {"regions": [{"name": "a", "cidrs": ["10.0.0.1/8"]}]}}, beside=[])
@example(spec={"advertise": {"regions": [{"name": "a", "cidrs": ["10.0.0.0/8"]}]}}, beside=[])
@example(
    spec={"advertise": {"mode": "flag", "flag": BAD_TEMPLATE}},
    beside=[],
)
def test_pools_that_are_taken_stop_nothing_and_others_no_model_takes(
    server: Server, tmp_path_factory: pytest.TempPathFactory, spec: Json, beside: list[Json]
) -> None:
    judge(server, Kind.ORCHESTRATOR_POOL, spec, beside, tmp_path_factory.getbasetemp())


@FUZZ
@fuzzed(Kind.AI_WORKER_POOL)
@example(spec={**SERVING, "models": [MODEL, MODEL]}, beside=[])
@example(spec={**SERVING, "models": [{**MODEL, "model": "a\u00a0b"}]}, beside=[])
@example(spec={**SERVING, "models": [{**MODEL, "model": "a b"}]}, beside=[])
@example(spec={**SERVING, "autoscaling": {"max": 2, "buffer": {"type": "track"}}}, beside=[])
@example(spec={**SERVING, **BAD_TEMPLATE}, beside=[])
def test_worker_pools_that_are_taken_stop_nothing_and_others_no_model_takes(
    server: Server, tmp_path_factory: pytest.TempPathFactory, spec: Json, beside: list[Json]
) -> None:
    judge(server, Kind.AI_WORKER_POOL, spec, beside, tmp_path_factory.getbasetemp())


@FUZZ
@given(spec=specs(schema_of(Kind.COMMUNITY_METRICS)))
@example(spec={**SHARED, "recipients": [RECIPIENT, RECIPIENT]})
@example(spec={**SHARED, "recipients": [RECIPIENT, {**RECIPIENT, "name": "b"}]})
@example(spec={**SHARED, "leave": {"collectors": ["https://a.example"] * 2}})
def test_community_metrics_that_are_taken_stop_nothing_and_others_no_model_takes(
    server: Server, tmp_path_factory: pytest.TempPathFactory, spec: Json
) -> None:
    judge(server, Kind.COMMUNITY_METRICS, spec, [], tmp_path_factory.getbasetemp())
