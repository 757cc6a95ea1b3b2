"""What an operator shares of the demand on its nodes: the file of `advertise --community`."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from mediafleet_common.api.base import Form, Model

RegionName = Annotated[
    str,
    Field(max_length=63),
    Form(
        "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$",
        "write a region in lower-case letters, digits and -, for example eu-west",
    ),
]
PlainUrl = Annotated[
    str,
    Field(max_length=500),
    Form(
        "^https?://[A-Za-z0-9._:\\[\\]-]+(/[A-Za-z0-9._~/-]*)?$",
        "write an http or https URL without a user and a query, "
        "for example https://community.example.com/api/v1/write",
    ),
]
"""A URL without a user, a query and anything that a file of another program could misread."""


FURTHER: Final = (
    "egressByType",
    "egressByResolution",
    "egressMinutes",
    "aiByType",
    "aiByModel",
    "pixels",
)
"""Groups of work beside streams, each shared only by its name. None is divided by another."""


class Share(Model):
    """What is shared; without the file nothing is."""

    own_streams: bool = True
    """Streams on the operator's own nodes, rounded to 5, wherever they come from."""
    gateways_by_origin: bool = False
    """How many gateways ask, by where they call from, as ranges of at least `k`."""
    streams_by_origin: bool = False
    """Streams, and how many gateways have them, by where they come from, for at least `k`."""
    egress_by_type: bool = False
    """Egress jobs by their type."""
    egress_by_resolution: bool = False
    """The same jobs by their resolution, by itself."""
    egress_minutes: bool = False
    """Minutes of the same jobs, all types together."""
    ai_by_type: bool = False
    """AI tasks by their pipeline."""
    ai_by_model: bool = False
    """The same tasks by their model, by itself."""
    pixels: bool = False
    """Megapixels a second that are transcoded."""
    detail: bool = False
    """Whether others who share may see these values by themselves, and not only in sums."""

    @property
    def origins(self) -> bool:
        """Whether anything by origin is shared."""
        return self.gateways_by_origin or self.streams_by_origin

    @property
    def further(self) -> list[str]:
        """Names of further groups that are shared, as in the file of a resource."""
        chosen = self.model_dump(by_alias=True)
        return [name for name in FURTHER if chosen[name]]


class Leave(Model):
    """Share nothing any more, and have collectors delete what they have."""

    target: PlainUrl | None = None
    """The reporter, as collectors name it."""
    collectors: Annotated[list[PlainUrl], Field(max_length=16)] = Field(default_factory=list)
    """Collectors that are asked to delete until each has confirmed."""


class SenderMetrics(Model):
    """Who sends what is shared, so that the status says what left and what was refused."""

    url: PlainUrl
    """Its metrics: of vmagent, or of Prometheus' agent."""
    recipients: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=63)]], Field(max_length=16)
    ]
    """Names of its remote writes, in its order."""


class Community(Model):
    """The file of `--community`."""

    region: RegionName
    """Where the nodes are, in the operator's own word, such as eu-west."""
    share: Share = Share()
    """What is shared."""
    k: Annotated[int, Field(ge=3, le=1000)] = 3
    """Gateways that stand behind a figure by origin, at least."""
    public: bool = False
    """Whether it is shown on the port that gateways call, too: anybody reaches that."""
    leave: Leave | None = None
    """Share nothing any more; what is kept is deleted."""
    sender: SenderMetrics | None = None
    """Who sends what is shared; absent: nobody, or it is not asked."""
