"""`mediafleet operator`: keep the pods of fleets and pools as their resources say."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from mediafleet_operator.kube.snapshots import Snapshots

_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def operator(
    *,
    namespace: Annotated[
        list[str] | None,
        typer.Option(help="Namespace to serve; repeatable. Without any: all of them."),
    ] = None,
    http: Annotated[
        str, typer.Option(help="HOST:PORT of /healthz, /readyz, /metrics.")
    ] = "127.0.0.1:8080",
    image: Annotated[
        str,
        typer.Option(help="Image of mediafleet, for helpers inside pods and for the advertisers."),
    ] = "mediafleet:dev",
    image_pull_policy: Annotated[
        str | None, typer.Option(help="Always, IfNotPresent or Never, for that image.")
    ] = None,
    leader_election: Annotated[
        bool,
        typer.Option(help="Wait for the Lease; switch off when there is only one operator."),
    ] = True,
    lease_namespace: Annotated[
        str | None,
        typer.Option(help="Namespace of the Lease; default: this pod's, else `default`."),
    ] = None,
    egress_desk: Annotated[
        str | None,
        typer.Option(
            help="URL of the egress desk's HTTP port, asked for the demand of egress fleets that "
            "are scaled automatically."
        ),
    ] = None,
    keda_scaler: Annotated[
        str | None,
        typer.Option(
            help="HOST:PORT under which KEDA reaches the egress desk's scaler.", metavar="HOST:PORT"
        ),
    ] = None,
    keda_auth: Annotated[
        str | None,
        typer.Option(
            help="TriggerAuthentication/NAME or ClusterTriggerAuthentication/NAME that holds "
            "KEDA's certificate; without one the scalers speak plaintext.",
            metavar="KIND/NAME",
        ),
    ] = None,
    keda_pool_secret: Annotated[
        str,
        typer.Option(
            help="With --keda-auth, the Secret in the namespace of a pool by which its advertiser "
            "answers KEDA: tls.crt, tls.key, and ca.crt of who signs KEDA's.",
            metavar="NAME",
        ),
    ] = "mediafleet-scaler-pools",
    kubeconfig: Annotated[
        str | None, typer.Option(help="Default: $KUBECONFIG, the pod's account, ~/.kube/config.")
    ] = None,
    context: Annotated[str | None, typer.Option(help="Context of the kubeconfig.")] = None,
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    log_json: Annotated[bool, typer.Option("--log-json", help="Logs as JSON lines.")] = False,
) -> None:
    """Keep the pods of fleets and pools as their resources say; drain before deleting."""
    import logging

    from mediafleet_common.serving import logs
    from mediafleet_common.serving.run import run
    from mediafleet_operator.manifests.children.scaling import Keda
    from mediafleet_operator.manifests.pods.pod import Product
    from mediafleet_operator.rounds.serve import Settings, serve, summary

    logs.configure(log_level, log_json)
    logging.getLogger("kopf").setLevel(logging.WARNING)
    settings = Settings(
        product=Product(image, image_pull_policy, keda_pool_secret if keda_auth else None),
        http=http,
        namespaces=tuple(namespace or ()),
        lease_namespace=(lease_namespace or _own_namespace()) if leader_election else None,
        kubeconfig=kubeconfig,
        context=context,
        egress_desk=egress_desk,
        keda=Keda(keda_scaler, _authentication(keda_auth)),
    )

    async def main(stop: asyncio.Event) -> None:
        def on_ready(snapshots: Snapshots, port: int) -> None:
            host = http.rpartition(":")[0]
            where = ", ".join(settings.namespaces) or "all"
            typer.echo(
                f"mediafleet operator ready: {summary(snapshots)}, namespaces {where}, "
                f"http {host}:{port}"
            )

        await serve(settings, stop, on_ready)

    raise typer.Exit(run(main))


def _authentication(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    kind, _, name = text.partition("/")
    if kind not in ("TriggerAuthentication", "ClusterTriggerAuthentication") or not name:
        raise typer.BadParameter(
            "write TriggerAuthentication/NAME or ClusterTriggerAuthentication/NAME",
            param_hint="--keda-auth",
        )
    return kind, name


def _own_namespace() -> str:
    named = os.environ.get("POD_NAMESPACE")
    if named:
        return named
    return _OWN_NAMESPACE.read_text().strip() if _OWN_NAMESPACE.exists() else "default"
