"""`mediafleet proxy-config`: what the drain proxy of a node starts with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def proxy_config(
    *,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder that agent and proxy share.")],
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where gateways connect.")
    ] = "0.0.0.0:8935",
    node: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where the node listens, on loopback.")
    ] = "127.0.0.1:7938",
    origins: Annotated[
        bool,
        typer.Option(
            "--origins",
            help="Know which networks streams come from, for agent --origins-redis.",
        ),
    ] = False,
) -> None:
    """Write the drain proxy's configuration and a certificate, at the start of a node's pod.

    Gateways do not verify certificates, so it is self-signed. What the proxy was told before the
    pod's containers were started again stays.
    """
    from mediafleet_common.agent.proxy_config import ProxyFiles, render
    from mediafleet_common.serving.tls import self_signed

    files = ProxyFiles(out)
    key, certificate = self_signed(["drain-proxy"], days=3650)
    files.certificate.touch(mode=0o600)
    files.certificate.write_bytes(key + certificate)
    files.refusing.touch()
    files.config.write_text(render(files, listen, node, origins=origins))
    typer.echo(f"the drain proxy of {node} is to listen on {listen}")
