"""Options that more than one command has, each declared once; and how a command takes a group.

A command's parameter may be one of these dataclasses, or one of its own: `flat` gives typer a
function with an option for each field.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, get_type_hints

import typer

if TYPE_CHECKING:
    from mediafleet_common.formats.ip_addresses import IpNetwork
    from mediafleet_common.redises.endpoints import Redises
    from mediafleet_common.serving.access import Access
    from mediafleet_scheduler.scaler.server import ScalerOptions

LOGS: Final = "Logs"
CLUSTER: Final = "Kubernetes"
SCALER: Final = "KEDA"
REPORTS: Final = "Reports"
OTHER_NAMESPACE: Final = "name another with -n; mediafleet status shows those of all namespaces"
"""What to do where something of a fleet is not in its namespace."""


class Output(StrEnum):
    """Forms of output that every tool has."""

    TABLE = "table"
    JSON = "json"


OutputOption = Annotated[
    Output, typer.Option("--output", "-o", metavar="table|json", help="Form of output.")
]
NamespaceOption = Annotated[
    list[str] | None,
    typer.Option(
        "--namespace",
        metavar="NAME",
        help="Namespace to serve; repeatable. Without any: all.",
        rich_help_panel=CLUSTER,
    ),
]
HttpOption = Annotated[
    str,
    typer.Option(
        "--http",
        metavar="HOST:PORT",
        help="Where /healthz, /readyz, /metrics and the process's reports are served.",
    ),
]
SettingsOption = Annotated[
    Path | None,
    typer.Option(
        "--settings",
        metavar="FILE",
        envvar="MEDIAFLEET_SETTINGS_FILE",
        help="YAML file of times and limits; see docs/settings.md.",
    ),
]


NetworkOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-network",
        metavar="CIDR",
        help="Private network that lists from elsewhere, heads and, with --pool, the resource may "
        "name; repeatable.",
    ),
]


def networks(given: list[str] | None) -> tuple[IpNetwork, ...]:
    """What --allow-network names.

    Raises:
        typer.BadParameter: one of them is no network.
    """
    from mediafleet_common.formats import reach

    try:
        return reach.networks(given or ())
    except ValueError as error:
        raise typer.BadParameter(f"--allow-network: {error}") from error


@dataclass(frozen=True, slots=True)
class LogOptions:
    """How a process logs."""

    log_level: Annotated[
        str,
        typer.Option(
            metavar="LEVEL",
            envvar="MEDIAFLEET_LOG_LEVEL",
            help="debug, info, warning or error.",
            rich_help_panel=LOGS,
        ),
    ] = "info"
    log_json: Annotated[
        bool,
        typer.Option(
            "--log-json",
            envvar="MEDIAFLEET_LOG_JSON",
            help="Log JSON lines.",
            rich_help_panel=LOGS,
        ),
    ] = False

    def configure(self) -> None:
        """Log so from here on."""
        from mediafleet_common.serving import logs

        logs.configure(self.log_level, self.log_json)


@dataclass(frozen=True, slots=True)
class DeclaredRedisOptions:
    """Which Redis a fleet may use."""

    redis_endpoints: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="YAML file of the Redises that EgressFleets may name, as chart value "
            "egress.redis[] makes it: a list `endpoints` of name, addresses, sentinel or cluster, "
            "hosts, tls, username, db, namespaces, default.",
        ),
    ] = None
    allow_undeclared_redis: Annotated[
        bool,
        typer.Option(help="Whether EgressFleets may write out the address of a Redis."),
    ] = True

    def redises(self) -> Redises:
        """What is declared.

        Raises:
            CannotStartError: the file cannot be read.
        """
        from mediafleet_common.redises.endpoints import Redises
        from mediafleet_common.redises.endpoints_file import read_endpoints

        return Redises(read_endpoints(self.redis_endpoints), self.allow_undeclared_redis)


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """Which cluster, as whom."""

    kubeconfig: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            envvar="MEDIAFLEET_KUBECONFIG",
            help="Default: $KUBECONFIG, the pod's account, ~/.kube/config.",
            rich_help_panel=CLUSTER,
        ),
    ] = None
    context: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            envvar="MEDIAFLEET_CONTEXT",
            help="Context of the kubeconfig; default: its current one.",
            rich_help_panel=CLUSTER,
        ),
    ] = None


@dataclass(frozen=True, slots=True)
class KedaOptions:
    """KEDA's external scaler, the same for every desk."""

    scaler: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Where KEDA's external scaler is served; none by default.",
            rich_help_panel=SCALER,
        ),
    ] = None
    scaler_cert: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Its certificate (PEM); a replacement is picked up.",
            rich_help_panel=SCALER,
        ),
    ] = None
    scaler_key: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Key of that certificate (PEM).", rich_help_panel=SCALER),
    ] = None
    scaler_client_ca: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Authority of KEDA's client certificate (PEM): others are refused. A "
            "replacement is picked up.",
            rich_help_panel=SCALER,
        ),
    ] = None
    scaler_plaintext: Annotated[
        bool,
        typer.Option(
            "--scaler-plaintext",
            help="No TLS for the scaler: anybody may ask it.",
            rich_help_panel=SCALER,
        ),
    ] = False

    def chosen(self) -> ScalerOptions | None:
        """What the desk serves; `None`: no scaler.

        Raises:
            CannotStartError: the options do not go together.
        """
        from mediafleet_scheduler.scaler import server

        return server.options(
            self.scaler,
            self.scaler_cert,
            self.scaler_key,
            self.scaler_client_ca,
            plaintext=self.scaler_plaintext,
        )

    def ready_part(self, port: int | None) -> str:
        """What a ready line says of the scaler."""
        if self.scaler is None or port is None:
            return ""
        how = "plaintext" if self.scaler_plaintext else "mutual TLS"
        return f", KEDA scaler {self.scaler.rpartition(':')[0]}:{port} ({how})"


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """Who may read a desk's reports."""

    http_token_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Who has its content as bearer token may read /demand, /explain, /costs, "
            "/conditions and /nodes, and see the pages under /ui/. Without it and --http-account: "
            "loopback alone. A replacement is picked up.",
            rich_help_panel=REPORTS,
        ),
    ] = None
    http_account: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAMESPACE/NAME[=NAMESPACE,...]",
            help="In a cluster: ServiceAccount that may read them with a token of audience "
            "mediafleet: what is said of its own namespace, of those named here, or with =* all, "
            "and the pages; repeatable.",
            rich_help_panel=REPORTS,
        ),
    ] = None

    def access(
        self, *, in_cluster: bool, pools_in: str | None = None, kept: Path | None = None
    ) -> Access:
        """Who may read them; an advertiser's `pools_in` is its namespace.

        Raises:
            CannotStartError: the file cannot be used.
        """
        from mediafleet_common.serving.access import AnyOf, LoopbackOnly, TokenFile

        parts: list[Access] = []
        if self.http_token_file is not None:
            parts.append(TokenFile(self.http_token_file))
        if self.http_account:
            parts.append(_account_tokens(self.http_account, in_cluster, pools_in, kept))
        return AnyOf(parts) if parts else LoopbackOnly()


def _account_tokens(
    accounts: list[str], in_cluster: bool, pools_in: str | None, kept: Path | None
) -> Access:
    from mediafleet_common.kube.account_tokens import (
        AUDIENCE,
        AccountTokens,
        accounts_in,
        pools_audience,
    )

    if not in_cluster:
        raise typer.BadParameter("--http-account needs a cluster: use --http-token-file")
    try:
        scopes = accounts_in(accounts, pools_in)
    except ValueError as error:
        raise typer.BadParameter(f"--http-account {error}") from error
    audiences = frozenset({AUDIENCE, pools_audience(pools_in)} if pools_in else {AUDIENCE})
    return AccountTokens(scopes, audiences, kept)


def flat(function: Callable[..., None]) -> Callable[..., None]:
    """The function with an option for each field of its parameters that are dataclasses."""
    hints = get_type_hints(function, include_extras=True)
    groups: dict[str, Any] = {name: each for name, each in hints.items() if is_dataclass(each)}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in groups:
            parameters += _parameters(groups[parameter.name])
        else:
            parameters.append(
                parameter.replace(
                    annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY
                )
            )

    @wraps(function)
    def command(**given: Any) -> None:
        made = {
            name: group(**{each.name: given.pop(each.name) for each in fields(group)})
            for name, group in groups.items()
        }
        function(**made, **given)

    # typer reads this attribute, as inspect does.
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def _parameters(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            each.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if each.default is MISSING else each.default,
            annotation=hints[each.name],
        )
        for each in fields(group)
    ]
