"""The options of KEDA's scaler, the same for every desk."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

ScalerListen = Annotated[
    str | None,
    typer.Option(
        "--scaler",
        help="HOST:PORT of KEDA's external scaler; none by default.",
        metavar="HOST:PORT",
    ),
]
ScalerCert = Annotated[
    Path | None,
    typer.Option("--scaler-cert", help="Its certificate (PEM); a replacement is picked up."),
]
ScalerKey = Annotated[
    Path | None, typer.Option("--scaler-key", help="Key of that certificate (PEM).")
]
ScalerClientCa = Annotated[
    Path | None,
    typer.Option(
        "--scaler-client-ca",
        help="Who signs KEDA's client certificate (PEM): others are refused. A replacement is "
        "picked up.",
    ),
]
ScalerPlaintext = Annotated[
    bool,
    typer.Option("--scaler-plaintext", help="No TLS for the scaler: anybody may ask it."),
]


def scaler_part(listen: str | None, port: int | None, plaintext: bool) -> str:
    """What a ready line says of the scaler."""
    if listen is None or port is None:
        return ""
    how = "plaintext" if plaintext else "mutual TLS"
    return f", KEDA scaler {listen.rpartition(':')[0]}:{port} ({how})"
