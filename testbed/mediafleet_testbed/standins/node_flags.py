"""The command line of a stand-in node: go-livepeer's flags, and a few of its own.

Flags: livepeer/go-livepeer cmd/livepeer/starter/flags.go. Go's flag package takes one dash or two,
`-flag value` or `-flag=value`, and refuses what it does not know.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

from mediafleet_testbed.standins.node_capabilities import AiModel, ai_models
from mediafleet_testbed.standins.node_live_runners import LiveRunner, live_runners

_IGNORED = (
    *("ethAcctAddr", "ethKeystorePath", "ethPassword", "ethUrl", "ethController", "datadir"),
    *("dataDir", "nvidia", "v", "aiModelsDir", "maxGasPrice"),
    *("ticketEV", "redeemerAddr", "reward", "region"),
    *("initializeRound", "pricePerGateway"),
)
"""Flags that change nothing here."""


@dataclass(frozen=True, slots=True)
class NodeFlags:
    """What a stand-in node was told."""

    service_url: str
    """As it tells gateways; empty: it takes no work itself (-serviceAddr none)."""
    listen: str
    """HOST:PORT of gRPC."""
    tls: bool
    cli: str
    """HOST:PORT of the CLI server."""
    monitor: bool
    max_sessions: int
    on_chain: bool
    price_per_unit: int
    eth_address: str
    funded: frozenset[str]
    """Lower-case addresses of gateways that have a reserve (stand-in only)."""
    secret: str
    """-orchSecret; empty: anybody is taken as a remote worker."""
    nodes: tuple[str, ...]
    session_seconds: float
    """A session without a segment for so long ends (go-livepeer: transcodeLoopTimeout, 70 s)."""
    transcoder: bool
    models: tuple[AiModel, ...]
    """With -aiWorker."""
    live_runners: tuple[LiveRunner, ...] | None
    """Of -liveRunnerConfig; `None`: the node has no live runners and no /discovery."""
    runner_seconds: float
    """It ends with 0 when an external runner has not answered for so long (seen: 2 min)."""
    control: str | None
    """HOST:PORT of the stand-in's own HTTP control; `None`: none."""


def parse_flags(arguments: Sequence[str]) -> NodeFlags:
    """The flags of a command line; exits with status 2 on one that go-livepeer would refuse."""
    parser = _Parser(prog="standin-node", allow_abbrev=False, description=__doc__)
    text = {
        "serviceAddr": "127.0.0.1:8935",
        "httpAddr": "",
        "cliAddr": "127.0.0.1:7935",
        "network": "offchain",
        "ethOrchAddr": "0x" + "00" * 20,
        "nodes": "",
        "orchSecret": "",
        "aiModels": "",
        "liveRunnerConfig": "",
    }
    for name in sorted({*_IGNORED, *text}):
        parser.add_argument(f"-{name}", f"--{name}", dest=name, default=text.get(name, ""))
    for name in ("monitor", "orchestrator", "transcoder", "aiWorker", "startupAvailabilityCheck"):
        parser.add_argument(
            f"-{name}", f"--{name}", dest=name, type=_go_bool, nargs="?", const=True, default=False
        )
    for name, default in (("maxSessions", 10), ("pricePerUnit", 0), ("pixelsPerUnit", 1)):
        parser.add_argument(f"-{name}", f"--{name}", dest=name, type=int, default=default)
    own = parser.add_argument_group("of the stand-in only")
    own.add_argument("-standinFunded", default="", help="gateways with a reserve, by comma")
    own.add_argument("-standinSessionSeconds", type=float, default=70.0)
    own.add_argument("-standinRunnerSeconds", type=float, default=120.0)
    own.add_argument("-standinControl", default=None, metavar="HOST:PORT")
    return _flags(parser.parse_args(arguments))


def _flags(given: argparse.Namespace) -> NodeFlags:
    service = given.serviceAddr
    url = service if "://" in service else f"https://{service}"
    listen = given.httpAddr or f"0.0.0.0:{_port(url)}"
    scheme, _, rest = listen.rpartition("://")
    try:
        models = ai_models(given.aiModels)
        runners = live_runners(given.liveRunnerConfig) if given.liveRunnerConfig else None
    except (ValueError, KeyError, OSError) as error:
        raise SystemExit(f"Error parsing -aiModels or -liveRunnerConfig: {error}") from error
    return NodeFlags(
        service_url="" if service == "none" else url,
        listen=rest if ":" in rest else f"{rest}:8935",
        tls=scheme != "http",
        cli=given.cliAddr if ":" in given.cliAddr else f"127.0.0.1:{given.cliAddr}",
        monitor=given.monitor,
        max_sessions=given.maxSessions,
        on_chain=given.network != "offchain",
        price_per_unit=given.pricePerUnit,
        eth_address=given.ethOrchAddr,
        funded=frozenset(a for a in given.standinFunded.lower().split(",") if a),
        secret=_secret(given.orchSecret),
        nodes=tuple(node for node in given.nodes.split(",") if node),
        session_seconds=given.standinSessionSeconds,
        transcoder=given.transcoder,
        models=models if given.aiWorker else (),
        live_runners=runners,
        runner_seconds=given.standinRunnerSeconds,
        control=given.standinControl,
    )


def _secret(given: str) -> str:
    """What a file holds, or the text itself where there is none (go-livepeer's ReadFromFile)."""
    try:
        return Path(given).read_text(encoding="utf-8").strip() if given else ""
    except OSError:
        return given


def _port(url: str) -> int:
    port = urlsplit(url).port
    return 8935 if port is None else port


def _go_bool(text: str) -> bool:
    if text.lower() in ("1", "t", "true"):
        return True
    if text.lower() in ("0", "f", "false"):
        return False
    raise argparse.ArgumentTypeError(f"invalid boolean value {text!r}")


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"stand-in node: {message}\n")
