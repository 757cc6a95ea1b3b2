"""The pod of an OrchestratorPool: a go-livepeer node, and beside it the agent that shows its
metrics, since the port that has them also moves money.

Flags: livepeer/go-livepeer cmd/livepeer/starter/flags.go.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from mediafleet_common.api.names import SERVING_GATE, Annotation, Container
from mediafleet_common.api.pool.address import OF_A_SERVICE, AddressType
from mediafleet_common.api.pool.orchestrator_pool import LoadSource, OrchestratorPoolSpec
from mediafleet_common.api.pool.origins import OriginSource
from mediafleet_common.api.shared import SecretKey
from mediafleet_operator.manifests.overlay import InvalidTemplateError, Manifest
from mediafleet_operator.manifests.parts import (
    container,
    from_field,
    identity,
    mount,
    takes_connections,
)
from mediafleet_operator.manifests.pods import drain_proxy, on_chain, orch_secret, origins
from mediafleet_operator.manifests.pods.address import Place, fill_in, host_port, service_addr
from mediafleet_operator.manifests.pods.agent import CLI_FLAG, HOLD, agent

HOME: Final = "/mediafleet/home"
"""$HOME of the node: its datadir is .lpData below it."""
POD: Final = "/mediafleet/pod"
"""Facts of the pod from Kubernetes, as files."""
_ANNOTATION: Final = f"metadata.annotations['{Annotation.SERVICE_ADDR}']"
OUR_FLAGS: Final = frozenset({"serviceAddr", "httpAddr", "cliAddr", "monitor", "maxSessions"})


def pod_spec(
    spec: OrchestratorPoolSpec,
    place: Place,
    secret: SecretKey,
    image: str,
    pull_policy: str | None,
    grace: int,
) -> Manifest:
    """Our part of the pod's spec for a slot. `secret` is the node's -orchSecret, `image` the
    product's, `grace` in seconds.

    Raises:
        InvalidTemplateError: spec.args has a flag that is ours to set.
    """
    _refuse_our_flags(spec)
    chain, proxied = spec.on_chain, spec.drain_proxy
    on_node = {}
    if spec.address.type is AddressType.HOST_PORT:
        on_node = {"hostPort": host_port(spec.address, place.slot)}
    number = spec.address.port
    port: Manifest = {
        "name": "orchestrator",
        "containerPort": number,
        "protocol": "TCP",
        **on_node,
    }
    node = container(
        Container.NODE.value,
        spec.image,
        None,
        args=[*_flags(spec, place), *spec.args],
        env=[
            {"name": "HOME", "value": HOME},
            from_field("POD_IP", "status.podIP"),
            from_field("NODE_NAME", "spec.nodeName"),
            *([from_field("SERVICE_ADDR", _ANNOTATION)] if spec.address.late else []),
            *(on_chain.environment(chain) if chain else []),
            *identity(),
        ],
        ports=[] if proxied else [port],
        readinessProbe=drain_proxy.READY if proxied else takes_connections(number),
        volumeMounts=mounts(spec),
        lifecycle=HOLD,
    )
    made: Manifest = {
        "containers": [node, _agent(spec, place, image, pull_policy, grace)],
        "volumes": [
            _home(spec, place),
            {"name": "mediafleet-tmp", "emptyDir": {}},
            orch_secret.volume(secret),
            *(on_chain.volumes(chain) if chain else []),
            *_origin_volumes(spec),
        ],
    }
    begins, facts = list[Manifest](), list[Manifest]()
    if spec.address.late:
        begins.append(_waits_for_address(image, pull_policy))
        facts.append({"path": "service-addr", "fieldRef": {"fieldPath": _ANNOTATION}})
    if proxied is not None:
        by_door = spec.origins is not None and spec.origins.source is OriginSource.DOOR
        begins.append(drain_proxy.config(image, pull_policy, number, origins=by_door))
        facts.append(drain_proxy.TOLD)
        made["containers"].append(drain_proxy.proxy(proxied, port))
        made["volumes"].append(drain_proxy.VOLUME)
    if begins:
        made["initContainers"] = begins
        made["volumes"].append({"name": "mediafleet-pod", "downwardAPI": {"items": facts}})
    if spec.address.type in OF_A_SERVICE:
        made["readinessGates"] = [{"conditionType": SERVING_GATE}]
    return made


def mounts(spec: OrchestratorPoolSpec) -> list[Manifest]:
    """What a container with go-livepeer sees of the pod's volumes."""
    return [
        mount("mediafleet-home", HOME),
        mount("mediafleet-tmp", "/tmp"),
        orch_secret.mounted(),
        *(on_chain.mounts() if spec.on_chain else []),
    ]


def _home(spec: OrchestratorPoolSpec, place: Place) -> Manifest:
    """The volume with the node's datadir, where winning tickets wait for redemption."""
    if spec.on_chain is None or spec.on_chain.volume is None:
        return {"name": "mediafleet-home", "emptyDir": {}}
    claim = {"claimName": on_chain.claim_name(place.pool, place.slot)}
    return {"name": "mediafleet-home", "persistentVolumeClaim": claim}


def _origin_volumes(spec: OrchestratorPoolSpec) -> list[Manifest]:
    if spec.origins is None:
        return []
    return origins.node_volumes(spec.origins, spec.advertise.region_database)


def _agent(
    spec: OrchestratorPoolSpec, place: Place, image: str, pull_policy: str | None, grace: int
) -> Manifest:
    options, seen = _load_options(spec), list[Manifest]()
    if spec.drain_proxy is not None:
        options += ["--proxy", drain_proxy.FOLDER, "--refuse-from", f"{POD}/refuse-from"]
        seen += [mount("mediafleet-pod", POD, read_only=True), drain_proxy.MOUNT]
    if (told := spec.origins) is not None:
        database = spec.advertise.region_database
        options += origins.agent_options(told, f"{place.namespace}/{place.pool}", database)
        seen += origins.agent_mounts(told, database)
    made = agent(image, pull_policy, grace, *options)
    return {**made, "volumeMounts": seen} if seen else made


def _load_options(spec: OrchestratorPoolSpec) -> list[str]:
    """Arguments of the agent: where the load is read."""
    options = ["--load", spec.load.value, "--node-port", str(spec.address.port)]
    if spec.load is LoadSource.URL and spec.load_url is not None:
        options += ["--load-url", spec.load_url.url]
        options += ["--load-metric", spec.load_url.metric] if spec.load_url.metric else []
    return options


def _waits_for_address(image: str, pull_policy: str | None) -> Manifest:
    """Holds the node back until the operator has written its address on the pod.

    An environment variable is filled in when its container starts, and never again.
    """
    return container(
        Container.ADDRESS.value,
        image,
        pull_policy,
        args=["wait-address", "--file", f"{POD}/service-addr"],
        resources={"requests": {"cpu": "10m", "memory": "16Mi"}},
        volumeMounts=[mount("mediafleet-pod", POD, read_only=True)],
    )


def _service_addr(spec: OrchestratorPoolSpec, place: Place) -> str:
    """-serviceAddr, where Kubernetes fills in $(…) when it starts the container."""
    address = spec.address
    if address.type is AddressType.TEMPLATE:
        url = fill_in(address, replace(place, node="$(NODE_NAME)", node_external="$(NODE)"))
        return "$(SERVICE_ADDR)" if address.late else service_addr(url)
    if address.late:
        return "$(SERVICE_ADDR)"
    return service_addr(f"{address.scheme}://$(POD_IP):{address.port}")


def _flags(spec: OrchestratorPoolSpec, place: Place) -> list[str]:
    flags = [
        f"-serviceAddr={_service_addr(spec, place)}",
        f"-httpAddr={drain_proxy.NODE if spec.drain_proxy else f'0.0.0.0:{spec.address.port}'}",
        CLI_FLAG,
        "-monitor=true",
        orch_secret.FLAG,
        *origins.node_flags(spec.origins),
    ]
    if spec.on_chain is not None:
        rewards = on_chain.calls_rewards(spec.on_chain, place.slot)
        flags += on_chain.flags(spec.on_chain, rewards=rewards)
    if spec.sessions.max is not None:
        flags.append(f"-maxSessions={spec.sessions.max}")
    return flags


def refuse_uncounted_work(spec: OrchestratorPoolSpec, pod_spec: Manifest) -> None:
    """livepeer_current_sessions_total is 0 while AI jobs run: such a node would leave at work.

    What a file of -config or envFrom brings shows once a node has done such a job: its load is
    unknown from then on.

    Raises:
        InvalidTemplateError: with the field and the fix.
    """
    where = _ai_models(spec, pod_spec)
    if spec.load is LoadSource.TRANSCODE and where is not None:
        raise InvalidTemplateError(
            "spec.load",
            f"is transcode, which does not count the jobs of {where}",
            "set drainProxy: {} and load: requests, or load docker-ai, connections or url",
        )


def _ai_models(spec: OrchestratorPoolSpec, pod_spec: Manifest) -> str | None:
    """Where a pool's AI models are named, as far as a resource shows."""
    if spec.advertise.models:
        return "the AI models in spec.advertise.models"
    for node in pod_spec["containers"]:
        if node["name"] != Container.NODE:
            continue
        words = [str(each) for each in [*(node.get("command") or []), *(node.get("args") or [])]]
        if any(word.startswith("-") and _flag_name(word) == "aiModels" for word in words):
            return f"the -aiModels in {'spec.args' if spec.args else 'spec.template'}"
        # go-livepeer reads every flag from LP_<FLAG> too (cmd/livepeer/livepeer.go).
        if any(each.get("name") == "LP_AIMODELS" for each in node.get("env") or []):
            return "LP_AIMODELS in spec.template"
    return None


def _flag_name(word: str) -> str:
    return word.lstrip("-").split("=", 1)[0]


def _refuse_our_flags(spec: OrchestratorPoolSpec) -> None:
    for index, flag in enumerate(spec.args):
        name = _flag_name(flag)
        chain = on_chain.FLAGS.get(name) if spec.on_chain is not None else None
        if flag.startswith("-") and (name in OUR_FLAGS or chain):
            fix = {
                name: f"set spec.onChain.{chain} instead" if chain else "leave it out",
                "serviceAddr": "set spec.address instead",
                "httpAddr": "set spec.address.port instead",
                "maxSessions": "set spec.sessions.max instead",
            }[name]
            raise InvalidTemplateError(
                f"spec.args[{index}]", f"is -{name}, which mediafleet sets", fix
            )
