"""What an on-chain node gets beside the others: flags, and secrets as files.

Flags: livepeer/go-livepeer cmd/livepeer/starter/flags.go; every one of them is also read from an
environment variable LP_<FLAG> (cmd/livepeer/livepeer.go), which is how the RPC URL stays out of
arguments. -reward that is not set means: if the account is the registered one
(cmd/livepeer/starter/starter.go), so it is always set.
"""

from __future__ import annotations

from typing import Final

from mediafleet_common.api.pool.on_chain import OnChain, Rewards
from mediafleet_common.api.shared import SecretKey
from mediafleet_operator.manifests.overlay import Manifest
from mediafleet_operator.manifests.parts import mount

KEY: Final = "/mediafleet/keystore/key.json"
PASSWORD: Final = "/mediafleet/eth-password"
FLAGS: Final = {
    "network": "network",
    "ethOrchAddr": "ethOrchAddr",
    "ethAcctAddr": "ethAcctAddr",
    "ethKeystorePath": "keySecret",
    "ethPassword": "passwordSecret",
    "ethUrl": "rpcUrlSecret",
    "redeemerAddr": "redeemerAddr",
    "reward": "rewards",
    "initializeRound": "rewards",
}
"""go-livepeer's flag -> the field of spec.onChain that says it."""


def claim_name(pool: str, slot: int) -> str:
    """Name of the PersistentVolumeClaim of a slot."""
    return f"{pool}-slot-{slot}"


def calls_rewards(chain: OnChain, slot: int) -> bool:
    """Whether the node of a slot calls reward and initialises rounds."""
    return chain.rewards is Rewards.SLOT_0 and slot == 0


def flags(chain: OnChain, *, rewards: bool) -> list[str]:
    """The flags of a node that calls reward, or does not."""
    said = [
        f"-network={chain.network}",
        f"-ethOrchAddr={chain.eth_orch_addr}",
        f"-ethKeystorePath={KEY}",
        f"-ethPassword={PASSWORD}",
        f"-reward={str(rewards).lower()}",
        f"-initializeRound={str(rewards).lower()}",
    ]
    if chain.eth_acct_addr is not None:
        said.append(f"-ethAcctAddr={chain.eth_acct_addr}")
    if chain.redeemer_addr is not None:
        said.append(f"-redeemerAddr={chain.redeemer_addr}")
    return said


def environment(chain: OnChain) -> list[Manifest]:
    """Variables of the node's container."""
    secret = chain.rpc_url_secret
    reference = {"secretKeyRef": {"name": secret.name, "key": secret.key}}
    return [{"name": "LP_ETHURL", "valueFrom": reference}]


def volumes(chain: OnChain) -> list[Manifest]:
    """The pod's volumes with secrets."""
    return [
        _volume("mediafleet-eth-key", chain.key_secret),
        _volume("mediafleet-eth-password", chain.password_secret),
    ]


def mounts() -> list[Manifest]:
    """Where the node's container sees them.

    By subPath, since a Secret's files are links otherwise, and a keystore passes over links
    (ethereum/go-ethereum accounts/keystore/file_cache.go, nonKeyFile).
    """
    return [
        {**mount("mediafleet-eth-key", KEY, read_only=True), "subPath": "secret"},
        {**mount("mediafleet-eth-password", PASSWORD, read_only=True), "subPath": "secret"},
    ]


def _volume(name: str, secret: SecretKey) -> Manifest:
    items = [{"key": secret.key, "path": "secret", "mode": 0o440}]
    return {"name": name, "secret": {"secretName": secret.name, "items": items}}
