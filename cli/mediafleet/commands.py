"""The commands, in the order of use. Each imports what it needs when it runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final

import typer

from mediafleet.actions.break_glass import break_glass
from mediafleet.actions.drain import drain
from mediafleet.community.command import community
from mediafleet.doctor.command import doctor
from mediafleet.help import Command, Group
from mediafleet.in_pod import lightweight
from mediafleet.in_pod.agent import agent
from mediafleet.in_pod.proxy_config import proxy_config
from mediafleet.live import rollout
from mediafleet.live.logs import logs
from mediafleet.live.top import top
from mediafleet.options import flat
from mediafleet.services.advertise import advertise
from mediafleet.services.broker import ai_models, broker
from mediafleet.services.egress import egress
from mediafleet.services.operator import operator
from mediafleet.services.worker import worker
from mediafleet.simulate.command import simulate
from mediafleet.tools.converge import converge
from mediafleet.tools.discover import discover
from mediafleet.tools.explain import explain
from mediafleet.tools.status import status

app = typer.Typer(
    name="mediafleet",
    cls=Group,
    help="Autoscaled, drain-safe fleets of live-media workers on Kubernetes.",
    epilog="mediafleet COMMAND --help shows a command's options and examples.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "auto_envvar_prefix": "MEDIAFLEET",
        "max_content_width": 100,
    },
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"mediafleet {version('mediafleet')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_version,
            is_eager=True,
            allow_from_autoenv=False,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    pass


@dataclass(frozen=True, slots=True)
class Entry:
    """A command, where it is listed, and how it is called."""

    run: Callable[..., None]
    panel: str
    examples: tuple[str, ...]
    under: str | None = None
    """The command that it is a part of."""

    @property
    def name(self) -> str:
        """How it is called."""
        own = self.run.__name__.replace("_", "-")
        return own if self.under is None else f"{self.under} {own}"


LOOK: Final = "Look first"
RUN: Final = "Run in a cluster or beside one"
ASK: Final = "Ask what is running"
POD: Final = "Inside pods (the operator starts these)"

ENTRIES: Final = (
    Entry(
        simulate,
        LOOK,
        (
            "mediafleet simulate burst",
            "mediafleet simulate day --mode pack --mode upstream --pods 20 --plot day.svg",
            "mediafleet simulate day --autoscaling --pods 20 --plot engines.svg",
            "mediafleet simulate --from-livekit wss://livekit.example.com --days 7",
        ),
    ),
    Entry(
        operator,
        RUN,
        ("mediafleet operator --image registry.example.com/mediafleet:0.1.0 --namespace media",),
    ),
    Entry(
        egress,
        RUN,
        (
            "mediafleet egress --kube --http 0.0.0.0:8080",
            "mediafleet egress --redis redis://127.0.0.1:6379 --workers workers.yaml",
        ),
    ),
    Entry(
        advertise,
        RUN,
        (
            "mediafleet advertise --pool media/transcoders",
            "mediafleet advertise --nodes nodes.yaml --listen 0.0.0.0:8935",
        ),
    ),
    Entry(
        broker,
        RUN,
        ("mediafleet broker --secret-file secret --models models.yaml",),
    ),
    Entry(
        worker,
        RUN,
        (
            "mediafleet worker --broker broker:8935 --secret-file secret --runner llm/m=http://r:8000",
        ),
    ),
    Entry(
        ai_models,
        RUN,
        ("mediafleet broker ai-models --models models.yaml --url http://broker.media.svc:8080",),
        under="broker",
    ),
    Entry(
        status,
        ASK,
        (
            "mediafleet status",
            "mediafleet status recorders -n media -o wide",
            "mediafleet status --desk http://127.0.0.1:8080",
        ),
    ),
    Entry(top, ASK, ("mediafleet top", "mediafleet top -n media --once")),
    Entry(
        rollout.status,
        ASK,
        ("mediafleet rollout status recorders -n media",),
        under="rollout",
    ),
    Entry(
        logs,
        ASK,
        ("mediafleet logs --why EG_3xKk9Jq2 --desk http://127.0.0.1:8080",),
    ),
    Entry(
        doctor,
        ASK,
        (
            "mediafleet doctor",
            "mediafleet doctor --redis redis://127.0.0.1:6379 --workers workers.yaml",
        ),
    ),
    Entry(
        explain,
        ASK,
        (
            "mediafleet explain http://127.0.0.1:8080",
            "mediafleet explain http://127.0.0.1:8080 --type room_composite --mode pack",
        ),
    ),
    Entry(
        discover,
        ASK,
        ("mediafleet discover --orch https://transcoders.media.svc:8935 --extra-nodes 20",),
    ),
    Entry(
        community,
        ASK,
        (
            "mediafleet community preview --target http://127.0.0.1:8080",
            "mediafleet community leave --state /var/lib/mediafleet/community",
            "mediafleet community collect --target http://a:8080 --target http://b:8080",
            "mediafleet community collect --target http://a:8080 --listen [::]:8090 --operator Us",
        ),
    ),
    Entry(
        converge,
        ASK,
        (
            "mediafleet converge --agent http://127.0.0.1:7936",
            "mediafleet converge --tickets logs --recipient 0x... --pixels 1e9 --wei-per-pixel 9",
        ),
    ),
    Entry(
        drain,
        ASK,
        (
            "mediafleet drain recorder-3 -n media",
            "mediafleet drain recorder-3 -n media --undo",
        ),
    ),
    Entry(
        break_glass,
        ASK,
        (
            "mediafleet break-glass recorders -n media --dry-run",
            "mediafleet break-glass recorders -n media --undo",
        ),
    ),
    Entry(agent, POD, ("mediafleet agent --load transcode --grace 1h",)),
    Entry(proxy_config, POD, ("mediafleet proxy-config --out /proxy --node 127.0.0.1:7938",)),
    Entry(
        lightweight.egress_config,
        POD,
        ("mediafleet egress-config --in /user/config.yaml --out /config/egress.yaml",),
    ),
    Entry(lightweight.wait_address, POD, ("mediafleet wait-address --file /address/url",)),
)

for _entry in ENTRIES:
    _lines = "\n".join(f"  {example}" for example in _entry.examples)
    app.command(
        _entry.name,
        cls=Command,
        rich_help_panel=_entry.panel,
        # `\b` keeps the lines as they are.
        epilog=f"\b\nExample:\n{_lines}",
    )(flat(_entry.run))
