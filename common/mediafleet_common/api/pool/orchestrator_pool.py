"""OrchestratorPool: a pool of go-livepeer nodes behind one advertised entry."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from mediafleet_common.api.base import Form, Model, Rule, rules
from mediafleet_common.api.durations import seconds
from mediafleet_common.api.pool.address import OF_A_SERVICE, Address, AddressType
from mediafleet_common.api.pool.advertise import Advertise
from mediafleet_common.api.pool.advertise import Mode as AdvertiseMode
from mediafleet_common.api.pool.on_chain import OnChain, Rewards
from mediafleet_common.api.pool.origins import Origins, OriginSource
from mediafleet_common.api.scaling.autoscaling import Autoscaling, Metric, WorkType
from mediafleet_common.api.shared import (
    Drain,
    FleetStatus,
    Replicas,
    SecretKey,
    Template,
    Update,
)

LIVE_VIDEO_SETTLE_SECONDS: Final = 7 * 60.0
"""Gateways' live-video selectors refresh after about 6 minutes (wire facts: go-livepeer server)."""
BATCH_AI_SETTLE_SECONDS: Final = 11 * 60.0
"""Gateways' batch-AI selectors keep a node for 10 minutes."""
PROXIED_SETTLE_SECONDS: Final = 60.0
"""Behind a drain proxy: gateways read a webhook's list once a minute, and who knows a node for
longer is refused."""


class LoadSource(StrEnum):
    """Where a node's load is read."""

    TRANSCODE = "transcode"
    DOCKER_AI = "docker-ai"
    CONNECTIONS = "connections"
    URL = "url"
    LIVE_RUNNERS = "live-runners"
    REQUESTS = "requests"
    """Those in flight, as the drain proxy counts them."""


class DrainProxy(Model):
    """HAProxy before a node's port. While the node drains it refuses what begins new work, after \
the settle time; what is under way goes on."""

    image: Annotated[str, Field(min_length=1, max_length=512)] = "haproxy:2.6"
    """Image of HAProxy, 2.6 or newer."""


class LoadUrl(Model):
    """Where load is read with source url: by the agent in the pod, so 127.0.0.1 is the pod."""

    url: Annotated[
        str,
        Field(max_length=1000),
        Form(
            "^http://[!-?A-~]+$",
            "write an http URL without a user, for example http://127.0.0.1:9000/load",
        ),
    ]
    """For example http://127.0.0.1:9000/load. Whatever is not a number is unknown, and a pod of \
unknown load is not deleted."""
    metric: (
        Annotated[
            str,
            Field(max_length=200),
            Form(
                "^[a-zA-Z_:][a-zA-Z0-9_:]*$",
                "write the name of a Prometheus metric without labels, for example jobs_in_flight",
            ),
        ]
        | None
    ) = None
    """Name of a Prometheus metric there, whose series are added up. Absent: the answer is a JSON \
number."""


class Sessions(Model):
    """How many sessions a node takes."""

    max: Annotated[int, Field(ge=1, le=100000)] | None = None
    """Rendered to -maxSessions."""


CLI_ADDR_PATTERN: Final = "^--?cliAddr($|=)"
_OPEN_CLI: Final = (
    "args: leave -cliAddr out; mediafleet keeps that port on loopback, since it moves money"
)
ORCH_SECRET_PATTERN: Final = "^--?orchSecret($|=$|=[^/])"
_OWN_SECRET: Final = "args: leave -orchSecret out, or name a Secret in spec.orchSecret"


def _checked_args(args: list[str]) -> list[str]:
    for pattern, message in ((CLI_ADDR_PATTERN, _OPEN_CLI), (ORCH_SECRET_PATTERN, _OWN_SECRET)):
        # Go's $ is the end of the text and nothing else.
        if any(re.search(pattern.replace("$", r"\Z"), each) for each in args):
            raise ValueError(message)
    return args


class OrchestratorPoolSpec(Model):
    """What is wanted."""

    RULES = (
        Rule(
            (
                "!has(self.onChain) || !has(self.onChain.rewards) || "
                "self.onChain.rewards != 'head' || (has(self.advertise) && "
                "has(self.advertise.mode) && self.advertise.mode == 'flag')"
            ),
            ("onChain.rewards head needs advertise.mode flag"),
            lambda self: (
                self.on_chain is None
                or self.on_chain.rewards is not Rewards.HEAD
                or self.advertise.mode is AdvertiseMode.FLAG
            ),
        ),
        Rule(
            ("!has(self.load) || self.load != 'url' || has(self.loadUrl)"),
            ("load url needs loadUrl, for example {url: 'http://127.0.0.1:9000/load'}"),
            lambda self: self.load is not LoadSource.URL or self.load_url is not None,
        ),
        Rule(
            ("!has(self.load) || self.load != 'requests' || has(self.drainProxy)"),
            ("load requests needs drainProxy, which counts them; set drainProxy: {}"),
            lambda self: self.load is not LoadSource.REQUESTS or self.drain_proxy is not None,
        ),
        Rule(
            (
                "!has(self.origins) || (has(self.origins.source) && self.origins.source == "
                "'client-ip') || has(self.drainProxy)"
            ),
            ("origins by the door need drainProxy, which is the door; set drainProxy: {}"),
            lambda self: (
                self.origins is None
                or self.origins.source is OriginSource.CLIENT_IP
                or self.drain_proxy is not None
            ),
        ),
        Rule(
            (
                "!has(self.communityMetrics) || !has(self.advertise) || "
                "!has(self.advertise.mode) || self.advertise.mode == 'live'"
            ),
            ("communityMetrics needs advertise.mode live: a head of go-livepeer shows no summary"),
            lambda self: (
                self.community_metrics is None or self.advertise.mode is AdvertiseMode.LIVE
            ),
        ),
        Rule(
            (
                "!has(self.drainProxy) || !has(self.address) || !has(self.address.scheme) "
                "|| self.address.scheme != 'http'"
            ),
            ("drainProxy speaks TLS, as go-livepeer does: leave address.scheme out"),
            lambda self: self.drain_proxy is None or self.address.scheme != "http",
        ),
        Rule(
            (
                "!has(self.autoscaling) || self.autoscaling.min >= 1 "
                "|| (has(self.autoscaling.engine) && self.autoscaling.engine == 'none') "
                "|| (has(self.autoscaling.schedule) && size(self.autoscaling.schedule) > 0)"
            ),
            (
                "autoscaling.min 0 needs a schedule in an OrchestratorPool, since nothing else "
                "wakes it; set min to 1 or more, or add a schedule"
            ),
            lambda self: self.autoscaling is None or self.autoscaling.can_wake,
        ),
        Rule(
            (
                "!has(self.autoscaling) || !has(self.autoscaling.buffer) "
                "|| !has(self.autoscaling.buffer.type) "
                "|| self.autoscaling.buffer.type == 'session'"
            ),
            ("autoscaling.buffer.type of an OrchestratorPool is session, or left out"),
            lambda self: (
                self.autoscaling is None or self.autoscaling.buffer.type in (None, WorkType.SESSION)
            ),
        ),
        Rule(
            (
                "!has(self.autoscaling) || self.autoscaling.engine != 'keda' "
                "|| self.autoscaling.metric != 'queue'"
            ),
            ("autoscaling.metric queue: nothing waits for a pool; use sessions or slots"),
            lambda self: self.autoscaling is None or not self.autoscaling.keda_by(Metric.QUEUE),
        ),
        Rule(
            (
                "!has(self.replicas) || !has(self.address) || !has(self.address.portRange) || "
                "!has(self.address.type) || self.address.type != 'node_port' || "
                "self.replicas <= "
                "self.address.portRange.last - self.address.portRange.first + 1"
            ),
            ("replicas is more than address.portRange has ports: make the range longer"),
            lambda self: (
                self.replicas is None
                or self.address.type is not AddressType.NODE_PORT
                or self.address.port_range is None
                or self.replicas <= self.address.port_range.size
            ),
        ),
    )

    replicas: Replicas | None = None
    """How many nodes. Absent, it is set to max(1, autoscaling.min) once; autoscalers and kubectl \
scale write it."""
    paused: bool = False
    """Leaves all pods as they are; advertising goes on."""
    image: Annotated[str, Field(min_length=1, max_length=512)] = "livepeer/go-livepeer:v0.9.2"
    """Image of the node."""
    args: Annotated[
        list[Annotated[str, Field(max_length=1024)]],
        AfterValidator(_checked_args),
        Field(
            max_length=200,
            json_schema_extra=rules(
                (
                    f"!self.exists(a, a.matches('{CLI_ADDR_PATTERN}'))",
                    _OPEN_CLI,
                ),
                (
                    f"!self.exists(a, a.matches('{ORCH_SECRET_PATTERN}'))",
                    _OWN_SECRET,
                ),
            ),
        ),
    ] = Field(default_factory=list)
    """Flags for go-livepeer beside those that mediafleet sets (-serviceAddr, -httpAddr, -cliAddr, \
-monitor, -maxSessions, -orchSecret)."""
    load: LoadSource = LoadSource.TRANSCODE
    """Where a node's load is read: transcode (sessions), docker-ai (AI containers in use), \
live-runners (their sessions, at the node's /discovery), connections (open ones to the node's \
port, for BYOC, which is counted nowhere else), url (see loadUrl) or requests (those in flight, \
with drainProxy)."""
    drain_proxy: DrainProxy | None = None
    """A proxy before each node's port that refuses new work while the node drains, since gateways \
go on using nodes that they know. Absent: gateways reach the node itself."""
    origins: Origins | None = None
    """Have nodes and advertisers tell a CommunityMetrics who asks and who streams, under names of \
the day. Absent: where demand comes from is known to nobody."""
    community_metrics: Annotated[str, Field(min_length=1, max_length=244)] | None = None
    """CommunityMetrics in the same namespace: the advertiser shows what it shares on the port \
that gateways call, too, under /summary and /metrics/community. Anybody reaches that."""
    load_url: LoadUrl | None = None
    """Where load is read with load url."""
    orch_secret: SecretKey | None = None
    """-orchSecret of the nodes, for remote workers of yours. Absent: a random one, which the \
operator makes."""
    on_chain: OnChain | None = None
    """Nodes that are paid. Absent: put -network=offchain into args."""
    address: Address = Address()
    """Under which address a gateway reaches a node."""
    advertise: Advertise = Advertise()
    """How nodes are advertised to gateways."""
    sessions: Sessions = Sessions()
    """How many sessions a node takes."""
    template: Template = Template()
    """What to add to the pods."""
    drain: Drain = Drain()
    """How a node leaves."""
    update: Update = Update()
    """How nodes are replaced when the template changes."""
    autoscaling: Autoscaling | None = None
    """Who writes replicas, and by what. Absent: nobody but you."""

    @property
    def slots_own_things(self) -> bool:
        """Whether a slot has something that outlives its pod, so that it is replaced in place."""
        chain = self.on_chain
        # The node that calls reward stays in slot 0.
        kept = chain is not None and (chain.volume is not None or chain.rewards is Rewards.SLOT_0)
        return kept or self.address.type in OF_A_SERVICE

    @property
    def settle_seconds(self) -> float:
        """Seconds between unlisting a node and the first idle reading that counts."""
        if self.drain.settle:
            return seconds(self.drain.settle)
        if self.drain_proxy is not None:
            return PROXIED_SETTLE_SECONDS
        # What a node of another load serves is not known: the longer one is safe for all.
        live_video = self.load is LoadSource.TRANSCODE
        return LIVE_VIDEO_SETTLE_SECONDS if live_video else BATCH_AI_SETTLE_SECONDS


class OrchestratorPoolStatus(FleetStatus):
    """What the operator last saw and decided."""

    listed: int | None = None
    """Nodes that may be advertised."""
    list_hash: str | None = None
    """Changes whenever the set of nodes that may be advertised does."""
    sessions: int | None = None
    """Sessions on all nodes; absent while the load of a node is unknown."""
    max_sessions: int | None = None
    """Sessions that the Ready nodes take at most; absent while that of a node is unknown."""


class OrchestratorPool(Model):
    """A pool of go-livepeer nodes behind one advertised entry: the list that gateways read in \
GetOrchestrator follows the pods, and nodes drain safely."""

    kind: Literal["OrchestratorPool"] = "OrchestratorPool"
    spec: OrchestratorPoolSpec = OrchestratorPoolSpec()
    """What is wanted."""
    status: OrchestratorPoolStatus | None = None
    """What the operator last saw and decided."""
