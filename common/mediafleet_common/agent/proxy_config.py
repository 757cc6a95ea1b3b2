"""The configuration of the drain proxy: HAProxy before a node's port. Pure.

It refuses what begins new work while `refusing` holds a word, and never what belongs to work that
is under way: the results of remote workers, the segments of a live stream, payments. Which paths
these are: livepeer/go-livepeer server/rpc.go, ai_http.go and byoc/.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

REFUSES: Final = "yes"
"""What the file `refusing` holds while new work is refused."""
ORIGINS: Final = "origins"
"""Table of the networks that streams come from."""
REFUSAL: Final = "draining: this node takes no new work"

_STANDING: Final = (
    "/net.AIWorker/RegisterAIWorker",
    "/net.Transcoder/RegisterTranscoder",
    "/net.Orchestrator/Ping",
    "/runners/heartbeat",
    "/capability/register",
    "/capability/unregister",
)
"""No work: streams of remote workers that never end, and signs of life."""
_UNDER_WAY: Final = (
    *_STANDING,
    "/net.Orchestrator/EndTranscodingSession",
    "/segment",
    "/payment",
    "/transcodeResults",
    "/aiResults",
    "/ai/stream/update",
    "/ai/stream/payment",
    "/ai/stream/stop",
)
_UNDER_WAY_BELOW: Final = ("/stream/", "/ai/trickle/", "/runner/", "/runners/")
_UNDER_WAY_LIKE: Final = ("^/apps/[^/]+/session/[^/]+/",)


@dataclass(frozen=True, slots=True)
class ProxyFiles:
    """What agent and proxy share: a folder."""

    folder: Path

    @property
    def config(self) -> Path:
        """Of HAProxy."""
        return self.folder / "haproxy.cfg"

    @property
    def certificate(self) -> Path:
        """PEM of key and certificate."""
        return self.folder / "cert.pem"

    @property
    def refusing(self) -> Path:
        """Holds `REFUSES` or nothing: the state, which outlives both processes."""
        return self.folder / "refusing"

    @property
    def socket(self) -> Path:
        """Where HAProxy's master takes commands."""
        return self.folder / "master.sock"


_STREAMS: Final = {
    "req.hdr(Livepeer-Segment),b64dec,protobuf(1)": "req.hdr(Livepeer-Segment) -m found",
    "\"path,field(4,/),regsub('-(out|control|events|data)\\$',)\"": "path_beg /ai/trickle/",
    "path,field(5,/)": "path_reg ^/apps/[^/]+/session/[^/]+/",
}
"""What all requests of a stream have in common, and where: the manifest of a segment (field 1 of
SegData, livepeer/go-livepeer net/lp_rpc.proto), else a name in the path."""
_ORIGINS: Final = "".join(
    f"  http-request set-var(txn.stream) {what} if {{ {where} }}\n"
    for what, where in _STREAMS.items()
)
_ORIGINS_TRACKED: Final = f"""\
  http-request set-var(txn.stream) var(txn.stream),sha1,hex if {{ var(txn.stream) -m found }}
  http-request set-var(txn.net) src,ipmask(24,48)
  http-request set-var(txn.origin) var(txn.net),concat(|,txn.stream)
  http-request track-sc0 var(txn.origin) table {ORIGINS} if {{ var(txn.stream) -m found }}
"""
"""Remembers for half a minute which networks have streams: in memory, and for the agent alone."""
_ORIGINS_TABLE: Final = f"""\
backend {ORIGINS}
  stick-table type string len 100 size 100k expire 30s store http_req_cnt
"""


def render(files: ProxyFiles, listen: str, node: str, *, origins: bool = False) -> str:
    """The configuration; `listen` and `node` are HOST:PORT.

    `origins`: whether it is to know from which networks streams come.
    """
    return f"""\
global
  nbthread 4
  maxconn 4000
  tune.h2.initial-window-size 1048576
defaults
  mode http
  timeout connect 5s
  timeout http-request 30s
  timeout http-keep-alive 10m
  # A worker's stream is silent for hours; who is gone is found out by TCP.
  timeout client 24h
  timeout server 24h
  timeout tunnel 24h
  option clitcpka
  clitcpka-idle 60s
frontend node
  bind {listen} ssl crt {files.certificate} alpn h2,http/1.1
  acl refusing str({REFUSES}) -f {files.refusing}
  acl under_way path {" ".join(_UNDER_WAY)}
  acl under_way path_beg {" ".join(_UNDER_WAY_BELOW)}
  acl under_way path_reg {" ".join(_UNDER_WAY_LIKE)}
  http-request return status 503 content-type text/plain string "{REFUSAL}" if refusing !under_way
{_ORIGINS + _ORIGINS_TRACKED if origins else ""}\
  use_backend standing if {{ path {" ".join(_STANDING)} }}
  use_backend upgraded if {{ req.hdr(Upgrade) -m found }}
  default_backend work
backend work
  server node {node} ssl verify none alpn h2,http/1.1
backend upgraded
  server node {node} ssl verify none alpn http/1.1
backend standing
  server node {node} ssl verify none alpn h2,http/1.1
{_ORIGINS_TABLE if origins else ""}"""


COUNTED: Final = frozenset({"work", "upgraded"})
"""Backends whose requests are work."""
