"""What a pool whose nodes are paid needs: keys, the chain, and where winning tickets go."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import ConfigDict, Field, model_validator

from mediafleet_common.api.base import HOST_PORT, EthAddress, Form, Model, rules
from mediafleet_common.api.shared import SecretKey

Quantity = Annotated[
    str,
    Field(max_length=32),
    Form("^[0-9]+(\\.[0-9]+)?([EPTGMk]i?)?$", "write a size, for example 1Gi"),
]
_NEITHER = (
    "onChain needs redeemerAddr or volume: winning tickets wait in the node's own database, and "
    "are lost with its disk"
)


class Rewards(StrEnum):
    """Who calls reward and initialises rounds: one process for an ETH address, or none of ours."""

    ELSEWHERE = "elsewhere"
    SLOT_0 = "slot_0"
    HEAD = "head"


class OnChainVolume(Model):
    """A PersistentVolumeClaim for each slot, for the node's datadir. It outlives pod, slot and \
pool: you delete it, when its tickets are redeemed."""

    size: Quantity = "1Gi"
    """How much to claim."""
    storage_class: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Absent: the cluster's default."""


class OnChain(Model):
    """Nodes that are paid. Key, password and RPC URL come from Secrets in the pool's namespace, \
and never stand in arguments."""

    model_config = ConfigDict(
        json_schema_extra=rules(("has(self.redeemerAddr) || has(self.volume)", _NEITHER))
    )

    network: Annotated[str, Field(min_length=1, max_length=100)] = "arbitrum-one-mainnet"
    """Rendered to -network."""
    eth_orch_addr: EthAddress
    """ETH address of the orchestrator that all nodes work for (-ethOrchAddr)."""
    eth_acct_addr: EthAddress | None = None
    """The nodes' own account (-ethAcctAddr). Absent: that of the key."""
    key_secret: SecretKey
    """The account's key file, as in go-livepeer's keystore (-ethKeystorePath)."""
    password_secret: SecretKey
    """Password of the key file (-ethPassword)."""
    rpc_url_secret: SecretKey
    """URL of the Ethereum JSON-RPC provider (-ethUrl), which mostly holds an API key."""
    redeemer_addr: Annotated[str, Field(max_length=300), HOST_PORT] | None = None
    """HOST:PORT of a ticket redemption service (-redeemerAddr)."""
    volume: OnChainVolume | None = None
    """A claim per slot, which is then replaced in place."""
    rewards: Rewards = Rewards.ELSEWHERE
    """Who calls reward and initialises rounds. elsewhere: a process of yours outside the pool. \
slot_0: the pool's first node, which then leaves last and is replaced in place; with no replicas \
nobody does. head: the managed head of advertise.mode flag."""

    @model_validator(mode="after")
    def _tickets_have_a_place(self) -> OnChain:
        if self.redeemer_addr is None and self.volume is None:
            raise ValueError(_NEITHER)
        return self
