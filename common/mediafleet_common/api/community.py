"""What an operator shares of the demand on its nodes: the file of `advertise --community`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mediafleet_common.api.base import Model

RegionName = Annotated[
    str, Field(min_length=1, max_length=63, pattern="^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
]


class Share(Model):
    """What is shared; without the file nothing is."""

    own_streams: bool = True
    """Streams on the operator's own nodes, rounded to 5, wherever they come from."""
    gateways_by_origin: bool = False
    """How many gateways ask, by where they call from, as ranges of at least `k`."""


class Community(Model):
    """The file of `--community`."""

    region: RegionName
    """Where the nodes are, in the operator's own word, such as eu-west."""
    share: Share = Share()
    """What is shared."""
    k: Annotated[int, Field(ge=3, le=1000)] = 3
    """Gateways that stand behind a figure by origin, at least."""
