"""How a pool of orchestrator nodes is advertised to gateways."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from mediafleet_common.api.base import HOST_PORT, EthAddress, Form, Keyed, Model, Rule, rules
from mediafleet_common.api.durations import Duration
from mediafleet_common.api.shared import SecretKey, Template
from mediafleet_common.formats.ip_addresses import is_network

AiModel = Annotated[
    str,
    Field(max_length=300),
    Form(
        "^(text-to-image|image-to-image|image-to-video|upscale|audio-to-text|"
        "segment-anything-2|llm|image-to-text|live-video-to-video|text-to-speech|byoc)/.+$",
        "write PIPELINE/MODEL with a pipeline of go-livepeer, "
        "for example text-to-image/stabilityai/sd-turbo",
    ),
]
"""PIPELINE/MODEL, the model as gateways name it."""


class Order(StrEnum):
    """The order of the nodes in an answer."""

    FIXED = "fixed"
    ROTATE = "rotate"
    LEAST_LOADED = "least_loaded"
    BY_GATEWAY = "by_gateway"


class Source(Model):
    """Nodes in another place: fixed URLs, or the list of another advertiser there."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "(has(self.urls) && size(self.urls) > 0) || has(self.listUrl)",
                "give urls, or listUrl, or both",
            ),
            (
                (
                    "!has(self.tokenSecret) || "
                    "(has(self.listUrl) && self.listUrl.startsWith('https://'))"
                ),
                "a token is sent over https only: give an https listUrl",
            ),
        )
    )

    name: Annotated[
        str,
        Field(max_length=63),
        Form(
            "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
            "write a name in lower-case letters, digits and -, for example eu",
        ),
    ]
    """Unique among the sources."""
    urls: Annotated[list[Annotated[str, Field(max_length=300)]], Field(max_length=100)] = Field(
        default_factory=list
    )
    """Nodes, as gateways reach them. They are asked like any other before they are listed. \
Private addresses must be allowed by the administrator."""
    list_url: (
        Annotated[
            str,
            Field(max_length=1000),
            Form(
                "^https?://[^?#]+$",
                "write an http or https URL without ? and #, "
                "for example https://pool.eu.example.com/orchestrators",
            ),
        ]
        | None
    ) = None
    """URL of a JSON list, for example https://pool.eu.example.com/orchestrators. It is read \
three times a second."""
    region: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Region of its nodes."""
    weight: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Share of each of its nodes with order by_gateway, against 1 for our own."""
    stale_after: Duration = "5m"
    """How long the last list stays in force when no newer one can be read."""
    token_secret: SecretKey | None = None
    """Bearer token for the list, which must be https then."""
    ca_secret: SecretKey | None = None
    """Certificate (PEM) of the authority that signed the list's; absent: the system's."""

    @model_validator(mode="after")
    def _has_content(self) -> Source:
        if not self.urls and self.list_url is None:
            raise ValueError(f"source {self.name}: give urls, or list_url, or both")
        if self.token_secret is not None and not (self.list_url or "").startswith("https://"):
            raise ValueError(f"source {self.name}: a token is sent over https only")
        return self


class Mode(StrEnum):
    """Who gives gateways the nodes."""

    LIVE = "live"
    FLAG = "flag"


class FlagHead(Model):
    """The go-livepeer head of mode flag. It takes no work (-serviceAddr none) and is started anew \
when the list changes: once the list has stood still, and no more than once a minute."""

    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Image of the head; absent: spec.image."""
    args: Annotated[list[Annotated[str, Field(max_length=1024)]], Field(max_length=200)] = Field(
        default_factory=list
    )
    """Flags beside those that mediafleet sets (-orchestrator, -nodes, -serviceAddr, -httpAddr, \
-cliAddr, -monitor, and those of spec.onChain)."""
    restart_while_busy: bool = False
    """Start it anew although it has sessions, or nobody knows whether it has."""
    template: Template = Template()
    """What to add to the head's pod; its container is called node."""


class HeadFallback(StrEnum):
    """What gateways get while the head does not answer."""

    UNAVAILABLE = "unavailable"
    ADVERTISE = "advertise"


class Head(Model):
    """A real orchestrator that the advertiser speaks for: its answer with our list of nodes."""

    address: Annotated[str, Field(max_length=300), HOST_PORT]
    """HOST:PORT of its gRPC, for example head.livepeer.svc:8935. Not the address under which \
gateways reach the advertiser."""
    insecure: bool = False
    """Speak plain gRPC; go-livepeer speaks TLS, whose certificate is not verified."""


def secret_file(source: str, what: str) -> str:
    """Where the advertiser of a pool finds a source's `token` or `ca`."""
    return f"/mediafleet/sources/{source}/{what}"


_NO_NETWORK: Final = "write a network such as 203.0.113.0/24, with no bits set beyond its length"


def _checked_network(text: str) -> str:
    if not is_network(text):
        raise ValueError(f"{text}: {_NO_NETWORK}")
    return text


Network = Annotated[
    str,
    AfterValidator(_checked_network),
    Field(
        max_length=64,
        json_schema_extra=rules(
            ("isIP(self) || (isCIDR(self) && cidr(self).masked() == cidr(self))", _NO_NETWORK)
        ),
    ),
]
"""A network, or one address."""


class GatewayRegion(Model):
    """Which gateways are in a region: by their addresses, or by a database of countries."""

    name: Annotated[str, Field(min_length=1, max_length=63)]
    """The region, as the nodes' label says it."""
    cidrs: Annotated[list[Network], Field(max_length=200)] = Field(default_factory=list)
    """Networks of its gateways, for example 203.0.113.0/24. The narrowest that fits counts, and \
before any country."""
    countries: Annotated[
        list[
            Annotated[
                str,
                Field(max_length=2),
                Form("^[A-Z]{2}$", "write the two capital letters of ISO 3166, for example DE"),
            ]
        ],
        Field(max_length=250),
    ] = Field(default_factory=list)
    """Countries (ISO 3166, two letters), looked up in regionDatabase."""
    continents: Annotated[
        list[Literal["AF", "AN", "AS", "EU", "NA", "OC", "SA"]], Field(max_length=7)
    ] = Field(default_factory=list)
    """Continents, for countries that no region names."""


class RegionDatabase(Model):
    """A database of countries by IP address, in MaxMind's format (.mmdb)."""

    claim: Annotated[str, Field(min_length=1, max_length=253)]
    """PersistentVolumeClaim that holds it; it is mounted read-only."""
    file: Annotated[
        str,
        Field(max_length=253),
        Form("^[^/].*\\.mmdb$", "write a path in the volume, without / before it, to a .mmdb file"),
    ] = "GeoLite2-Country.mmdb"
    """Path of the file in the volume."""


class Probe(StrEnum):
    """Where a node must answer before it is listed."""

    ADDRESS = "address"
    POD = "pod"
    NONE = "none"


class Advertise(Model):
    """How nodes are advertised to gateways."""

    RULES = (
        Rule(
            ("!has(self.mode) || self.mode != 'flag' || !has(self.head)"),
            ("advertise.head needs mode live; with mode flag the head is ours, see flag"),
            lambda self: self.mode is not Mode.FLAG or self.head is None,
        ),
        Rule(
            (
                "!has(self.mode) || self.mode != 'flag' || !has(self.sources) || "
                "self.sources.all(s, !has(s.listUrl))"
            ),
            ("with advertise.mode flag sources have urls alone: a flag reads no listUrl"),
            lambda self: (
                self.mode is not Mode.FLAG or all(s.list_url is None for s in self.sources)
            ),
        ),
    )

    mode: Mode = Mode.LIVE
    """live: the advertiser answers gateways, and its list follows the pods within a second. flag: \
a go-livepeer head of ours does, by its own flag -nodes, which takes https URLs alone; \
nothing else of this block but flag, maxNodes and the urls of sources is used then."""
    flag: FlagHead = FlagHead()
    """The head of mode flag."""
    head: Head | None = None
    """Pass GetOrchestrator, Ping and EndTranscodingSession on to this orchestrator and put the \
list of nodes into its answer. Absent: the advertiser answers by itself and takes no work."""
    head_fallback: HeadFallback = HeadFallback.UNAVAILABLE
    """While the head does not answer: unavailable (an error that says so), or advertise (what \
would be said without a head)."""
    urls: Annotated[list[Annotated[str, Field(max_length=300)]], Field(max_length=20)] = Field(
        default_factory=list
    )
    """URLs under which gateways reach the advertiser. A head that says it takes work at one of \
them is refused, since every job would end up at the advertiser."""
    probe: Probe = Probe.ADDRESS
    """Where a node must answer before it is listed. address: under its URL, as gateways reach it. \
pod: there or at its pod, for clusters that cannot reach their own outside addresses; \
listUnverified says what the pod's answer alone is worth. none: nobody is asked, and the dead are \
listed too."""
    list_unverified: bool = True
    """With probe pod: list a node whose pod answers while its URL does not. Otherwise it is left \
out as unverified."""
    probe_key_secret: SecretKey | None = None
    """Private key (64 hexadecimal digits) with which nodes are asked what they are. Nodes \
on-chain refuse a caller that does not sign, and priced ones a caller without a deposit: without \
a key it is not known whether they are full, and what they can do."""
    gateways: Annotated[list[EthAddress], Field(max_length=1000)] = Field(default_factory=list)
    """ETH addresses of the gateways that are answered; empty: all. A filter and no \
authentication: a gateway's signature is over its address alone, so that anybody who has seen it \
can send it again. The JSON list is not filtered."""
    region_label: Annotated[str, Field(min_length=1, max_length=317)] = (
        "topology.kubernetes.io/region"
    )
    """Label of a node's pod that says its region; Kubernetes copies this one from the node."""
    region: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Region of our own nodes whose pods have no such label."""
    regions: Annotated[
        list[GatewayRegion],
        Field(max_length=100),
        Keyed(("name",)),
    ] = Field(default_factory=list)
    """Where gateways are. A gateway gets the nodes of its own region first, in each order, and \
full ones last as ever."""
    region_database: RegionDatabase | None = None
    """For the countries and continents in regions."""
    models: Annotated[list[AiModel], Field(max_length=100)] = Field(default_factory=list)
    """AI models that each of the pool's nodes serves, as PIPELINE/MODEL, for example \
text-to-image/stabilityai/sd-turbo. A gateway that asks for an AI model gets the nodes that have \
it. What a node reports counts before this; nodes on-chain report nothing to a caller without a \
key, and one of which nothing is known is last."""
    max_nodes: Annotated[int, Field(ge=1, le=1000)] | None = None
    """List no more than so many. A gateway visits only the first -extraNodes (its default is 0)."""
    order: Order = Order.FIXED
    """Who stands first, where gateways begin. fixed: by name. rotate: each answer begins with the \
next node. least_loaded: most free sessions first. by_gateway: each gateway has nodes of its own, \
shared out by free sessions. Nodes known to be full are always last."""
    replicas: Annotated[int, Field(ge=0, le=20)] = 2
    """Replicas of the advertiser; 0 makes none."""
    eth_address: EthAddress | None = None
    """ETH address of the orchestrator, which gateways that look on-chain demand."""
    price_per_unit: Annotated[int, Field(ge=0)] = 0
    """Price in wei for pixelsPerUnit pixels, which gateways that look on-chain demand."""
    pixels_per_unit: Annotated[int, Field(ge=1)] = 1
    """Pixels that pricePerUnit is for."""
    sources: Annotated[
        list[Source],
        Field(max_length=50),
        Keyed(("name",)),
    ] = Field(default_factory=list)
    """Nodes in other places, merged into the list after our own."""
    tls_secret: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Secret of type kubernetes.io/tls; without one the advertiser signs its own certificate, \
which is what go-livepeer does too."""
