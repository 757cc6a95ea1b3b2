"""`mediafleet operator`: keep the pods of fleets and pools as their resources say."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mediafleet.options import (
    CLUSTER,
    SCALER,
    ClusterOptions,
    DeclaredRedisOptions,
    HttpOption,
    LogOptions,
    NamespaceOption,
    SettingsOption,
    networks,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mediafleet_common.api.ai_worker_pool import Broker
    from mediafleet_operator.kube.snapshots import Snapshots
    from mediafleet_operator.manifests.pods.reach import Reach

_OWN_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True, slots=True)
class PodOptions:
    """What the operator puts into pods."""

    image: Annotated[
        str,
        typer.Option(
            metavar="IMAGE",
            help="Image of mediafleet, for its containers inside pods and for the advertisers.",
        ),
    ] = "mediafleet:dev"
    image_pull_policy: Annotated[
        str | None,
        typer.Option(metavar="POLICY", help="Always, IfNotPresent or Never, for that image."),
    ] = None
    allow_in_template: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT",
            help="What templates may reach beyond their pods: host_namespaces, host_paths, "
            "host_ports, privileged, service_accounts; repeatable. By default nothing.",
        ),
    ] = None
    egress_desk: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="URL of the egress desk's HTTP port, asked for the demand of egress fleets that "
            "are scaled automatically.",
        ),
    ] = None
    broker: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="URL of the AI broker's HTTP port, asked for the demand of AIWorkerPools.",
        ),
    ] = None
    broker_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Where workers of AIWorkerPools without spec.broker register.",
        ),
    ] = None
    broker_addresses: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A name whose every address is a broker: those workers register at each.",
        ),
    ] = None
    allow_network: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CIDR",
            help="Private network that a pool, its sources and its head may name, so that "
            "advertisers connect to it; repeatable.",
        ),
    ] = None
    desk_token: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Holds the token that the operator sends to the egress desk and to the broker; "
            "read each time.",
        ),
    ] = None
    account: Annotated[
        str | None,
        typer.Option(
            metavar="NAMESPACE/NAME",
            help="The operator's own ServiceAccount. It asks advertisers by tokens of it, each for "
            "one namespace: who owns that namespace can read them. Absent: without tokens.",
        ),
    ] = None
    http_account: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMESPACE/NAME[=NAMESPACE,...]",
            help="ServiceAccount that may read the reports of the advertisers of its own "
            "namespace, of those named here, or with =* of all; repeatable.",
        ),
    ] = None
    vmagent_image: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE",
            help="Image of vmagent, which sends what a CommunityMetrics shares.",
        ),
    ] = None
    prometheus_image: Annotated[
        str | None,
        typer.Option(
            metavar="IMAGE", help="Image of Prometheus, whose agent sends for sender prometheus."
        ),
    ] = None
    prometheus_agent_flag: Annotated[
        str,
        typer.Option(
            metavar="FLAG",
            help="What makes Prometheus an agent; before 3.0 it is --enable-feature=agent.",
        ),
    ] = "--agent"
    advertiser_cpu: Annotated[
        str,
        typer.Option(
            metavar="QUANTITY",
            help="CPU that each advertiser requests: its share of a node that is full.",
        ),
    ] = "100m"
    io_update_timeout: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            min=0,
            max=3600,
            help="Takes precedence over io_update_timeout of your egress config, which pods "
            "report. While livekit-server does not confirm that a pod's jobs are over, the pod "
            "stays twice as long and 5 s after its last job.",
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class LeaseOptions:
    """One operator at a time."""

    leader_election: Annotated[
        bool,
        typer.Option(
            help="Wait for the Lease; switch off when there is only one operator.",
            rich_help_panel=CLUSTER,
        ),
    ] = True
    lease_namespace: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Namespace of the Lease; default: this pod's, else `default`.",
            rich_help_panel=CLUSTER,
        ),
    ] = None

    def where(self) -> str | None:
        """Namespace of the Lease; `None`: no election."""
        return (self.lease_namespace or _own_namespace()) if self.leader_election else None


@dataclass(frozen=True, slots=True)
class ScaledObjectOptions:
    """What the operator writes for KEDA."""

    keda_scaler: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Address under which KEDA reaches the egress desk's scaler.",
            rich_help_panel=SCALER,
        ),
    ] = None
    keda_broker_scaler: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Address under which KEDA reaches the broker's scaler.",
            rich_help_panel=SCALER,
        ),
    ] = None
    keda_auth: Annotated[
        str | None,
        typer.Option(
            metavar="KIND/NAME",
            help="TriggerAuthentication/NAME or ClusterTriggerAuthentication/NAME that holds "
            "KEDA's certificate; without one the scalers speak plaintext.",
            rich_help_panel=SCALER,
        ),
    ] = None
    keda_pool_secret: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="With --keda-auth: Secret in the namespace of a pool by which its advertiser "
            "answers KEDA: tls.crt, tls.key, and ca.crt of the authority of KEDA's.",
            rich_help_panel=SCALER,
        ),
    ] = "mediafleet-scaler-pools"


def operator(
    *,
    pods: PodOptions,
    http: HttpOption = "127.0.0.1:8080",
    settings: SettingsOption = None,
    namespace: NamespaceOption = None,
    lease: LeaseOptions,
    cluster: ClusterOptions,
    redis: DeclaredRedisOptions,
    keda: ScaledObjectOptions,
    logs: LogOptions,
) -> None:
    """Keep the pods of fleets and pools as their resources say; drain before deleting."""
    import logging

    from mediafleet_common.redises.endpoints import Redises
    from mediafleet_common.serving import settings_file
    from mediafleet_common.serving.addresses import split_host_port
    from mediafleet_common.serving.run import Start, run
    from mediafleet_operator.manifests.children.scaling import Keda
    from mediafleet_operator.manifests.pods.pod import Product
    from mediafleet_operator.rounds.serve import Settings, serve, summary
    from mediafleet_operator.settings import Times

    logs.configure()
    logging.getLogger("kopf").setLevel(logging.WARNING)
    allowed = tuple(map(str, networks(pods.allow_network)))
    pool_secret = keda.keda_pool_secret if keda.keda_auth else None
    chosen = Settings(
        product=Product(
            pods.image,
            pods.image_pull_policy,
            pool_secret,
            _allowed(pods.allow_in_template or ()),
            allowed,
            tuple(pods.http_account or ()),
            pods.vmagent_image,
            pods.prometheus_image,
            pods.prometheus_agent_flag,
            _broker(pods.broker_address, pods.broker_addresses),
            _cpu(pods.advertiser_cpu),
        ),
        http=http,
        io_update_timeout_seconds=pods.io_update_timeout,
        namespaces=tuple(namespace or ()),
        lease_namespace=lease.where(),
        kubeconfig=cluster.kubeconfig,
        context=cluster.context,
        egress_desk=pods.egress_desk,
        broker=pods.broker,
        desk_token=pods.desk_token,
        account=_account(pods.account),
        keda=Keda(keda.keda_scaler, _authentication(keda.keda_auth), keda.keda_broker_scaler),
    )

    async def main(stop: asyncio.Event) -> None:
        def on_ready(snapshots: Snapshots, port: int) -> None:
            host = http.rpartition(":")[0]
            where = ", ".join(chosen.namespaces) or "all"
            typer.echo(
                f"mediafleet operator ready: {summary(snapshots)}, namespaces {where}, "
                f"http {host}:{port}"
            )

        start = Start()
        times = start.of(lambda: settings_file.read(settings, "operator", Times), Times())
        redises = start.of(redis.redises, Redises())
        start.of(lambda: split_host_port(http), None)
        start.end()
        await serve(replace(chosen, times=times, redises=redises), stop, on_ready)

    raise typer.Exit(run(main))


def _account(text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    namespace, _, name = text.partition("/")
    if not namespace or not name:
        raise typer.BadParameter(f"{text}: write NAMESPACE/NAME", param_hint="--account")
    return namespace, name


def _broker(address: str | None, addresses: str | None) -> Broker | None:
    """Where AI workers register that name no broker.

    Raises:
        typer.BadParameter: it is no address.
    """
    if address is None:
        return None
    from pydantic import ValidationError

    from mediafleet_common.api.ai_worker_pool import Broker

    try:
        return Broker(address=address, addresses=addresses)
    except ValidationError as error:
        raise typer.BadParameter(f"--broker-address, --broker-addresses: {error}") from error


def _cpu(text: str) -> str:
    from mediafleet_common.formats.quantities import quantity

    if not quantity(text):
        raise typer.BadParameter(f"{text}: write 100m or 0.1", param_hint="--advertiser-cpu")
    return text


def _allowed(words: Iterable[str]) -> frozenset[Reach]:
    from mediafleet_operator.manifests.pods.reach import Reach

    try:
        return frozenset(Reach(each) for each in words)
    except ValueError as error:
        raise typer.BadParameter(
            f"{error}: write {', '.join(Reach)}", param_hint="--allow-in-template"
        ) from error


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
