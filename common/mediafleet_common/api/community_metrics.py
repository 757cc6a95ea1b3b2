"""CommunityMetrics: what of a pool's demand is shared, and with whom."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from mediafleet_common.api.base import Form, Keyed, Model, Rule
from mediafleet_common.api.community import (
    Community,
    Leave,
    PlainUrl,
    RegionName,
    SenderMetrics,
    Share,
)
from mediafleet_common.api.pool.on_chain import Quantity
from mediafleet_common.api.pool.origins import OriginRedis
from mediafleet_common.api.shared import ConditionStatus, SecretKey


class Sender(StrEnum):
    """The program that sends."""

    VMAGENT = "vmagent"
    PROMETHEUS = "prometheus"


def _is_told_in_secret(recipient: Recipient) -> bool:
    return recipient.token_secret is None or recipient.url.startswith("https://")


class Recipient(Model):
    """A collector that is sent what is shared."""

    name: Annotated[
        str,
        Field(max_length=63),
        Form(
            "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
            "write a name in lower-case letters, digits and -, for example community",
        ),
    ]
    """Unique among the recipients."""
    url: PlainUrl
    """Where it takes Prometheus' remote write, such as https://community.example.com/api/v1/write."""
    operator: Annotated[
        str,
        Field(max_length=63),
        Form(
            "^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$",
            "write your name in letters, digits, ., _ and -, for example example-media",
        ),
    ]
    """Your own name with it: label operator of all that it gets."""
    token_secret: SecretKey | None = None
    """Bearer token for it, which must be https then."""

    RULES: ClassVar = (
        Rule(
            "!has(self.tokenSecret) || self.url.startsWith('https://')",
            "a token is sent over https only: give an https url",
            _is_told_in_secret,
        ),
    )


class KeptVolume(Model):
    """A PersistentVolumeClaim of the reporter. It is deleted with the resource."""

    size: Quantity = "1Gi"
    """How much to claim; at most 256 MiB are used."""
    storage_class: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Absent: the cluster's default."""


class CommunityMetricsSpec(Model):
    """What is wanted."""

    pool: Annotated[str, Field(min_length=1, max_length=253)]
    """OrchestratorPool in the same namespace whose demand is shared."""
    region: RegionName
    """Where its nodes are, in your own word, such as eu-west."""
    share: Share = Share()
    """What is shared."""
    k: Annotated[int, Field(ge=3, le=1000)] = 3
    """Gateways that stand behind a figure by origin, at least."""
    origins_redis: OriginRedis | None = None
    """Where nodes and advertisers of the pool tell who asks and who streams: the same as its \
spec.origins.redis. Absent: nothing by origin is known."""
    sender: Sender = Sender.VMAGENT
    """Who sends: vmagent keeps more of what could not be sent over a restart."""
    recipients: Annotated[list[Recipient], Field(max_length=4), Keyed(("name",))] = Field(
        default_factory=list
    )
    """Who is sent what is shared. Absent: nobody, and who may reach the reporter's Service reads \
it there."""
    volume: KeptVolume | None = None
    """What was shared in 8 weeks, and what could not be sent yet. Absent: kept until the pod is \
gone."""
    leave: Leave | None = None
    """Share nothing any more, and have collectors delete what they have."""

    def file(self, sender: SenderMetrics | None) -> Community:
        """The file of the reporter, beside which `sender` runs."""
        return Community(
            sender=sender, region=self.region, share=self.share, k=self.k, leave=self.leave
        )

    @property
    def sends(self) -> bool:
        """Whether anything is sent: to somebody, and not after leaving."""
        return bool(self.recipients) and self.leave is None


class Deletion(Model):
    """What a collector that was asked to delete has answered."""

    collector: str
    """Its URL."""
    confirmed: bool = False
    """Whether it has deleted."""
    answer: str = ""
    """What it said."""
    at: str | None = None
    """When."""


class Delivery(Model):
    """How sending to a recipient goes, since the sender started."""

    name: str
    """The recipient."""
    accepted: int = 0
    """Requests (vmagent) or samples (Prometheus) that it took."""
    refused: int = 0
    """The same that it would not take; they are not sent again."""
    pending: int = 0
    """What waits to be sent: bytes of vmagent, samples of Prometheus."""


class CommunityMetricsStatus(Model):
    """What the operator last heard of the reporter."""

    observed_generation: int | None = None
    """The generation that this status speaks of."""
    shares: list[str] = Field(default_factory=list)
    """What is shared."""
    last_hour: Annotated[str, Field(json_schema_extra={"format": "date-time"})] | None = None
    """Start of the newest hour that was published."""
    hours: int | None = None
    """Hours of the last day that were published."""
    accepted: int | None = None
    """What all recipients took since the sender started: requests of vmagent, samples of \
Prometheus. Absent: nothing is sent, or the sender does not answer."""
    rejected: int | None = None
    """The same that they would not take, and that was not sent again."""
    deliveries: Annotated[list[Delivery], Keyed(("name",))] = Field(default_factory=list)
    """What left, and what was refused, by recipient."""
    refused: list[str] = Field(default_factory=list)
    """What is asked for and not shared, and why."""
    left: bool = False
    """Nothing is counted or published any more."""
    deletions: Annotated[list[Deletion], Keyed(("collector",))] = Field(default_factory=list)
    """What collectors answered that were asked to delete."""
    conditions: Annotated[list[ConditionStatus], Keyed(("type",))] = Field(default_factory=list)
    """Standard conditions."""


class CommunityMetrics(Model):
    """What of an OrchestratorPool's demand is shared with others, by choice. Nothing leaves \
before one exists, and nothing after it is deleted."""

    kind: Literal["CommunityMetrics"] = "CommunityMetrics"
    spec: CommunityMetricsSpec
    """What is wanted."""
    status: CommunityMetricsStatus | None = None
    """What the operator last heard."""
