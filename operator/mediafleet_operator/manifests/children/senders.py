"""Who sends what a reporter shares: vmagent or Prometheus' agent, beside it in its pod.

Both read the reporter alone, and let out the six metrics of a preview with their own labels, under
the operator's name with each recipient. Relabelling: https://docs.victoriametrics.com/vmagent and
https://prometheus.io/docs/prometheus/latest/configuration/configuration, `relabel_config`.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from mediafleet_common.api.community import SenderMetrics
from mediafleet_common.api.community_metrics import CommunityMetricsSpec, Recipient, Sender
from mediafleet_common.api.names import Port
from mediafleet_operator.manifests.overlay import Manifest
from mediafleet_operator.manifests.parts import container, mount
from mediafleet_operator.manifests.pods.pod import Product

CONFIG: Final = "/mediafleet/config"
KEPT: Final = "/mediafleet/kept"
TOKENS: Final = "/mediafleet/recipients"
SENDER: Final = "sender"
_METRICS: Final = (
    "mediafleet_community_(own_streams|hour_start_seconds|streams|gateways|streams_published|work)"
)
_LABELS: Final = "__name__|operator|region|group|figure|what|bound|kind|cell"
_FLUSH: Final = "10s"
_BACKLOG: Final = "50MB"
"""On disk for each recipient; a day of the six metrics is less than 1 MB."""


def relabelling(recipient: Recipient) -> list[dict[str, Any]]:
    """What leaves for a recipient, and nothing else."""
    return [
        {"source_labels": ["__name__"], "regex": _METRICS, "action": "keep"},
        {"target_label": "operator", "replacement": recipient.operator},
        {"regex": _LABELS, "action": "labelkeep"},
    ]


def files(spec: CommunityMetricsSpec) -> dict[str, str]:
    """What the sender reads, by file name; nothing where nobody is sent anything."""
    if not spec.sends:
        return {}
    scrape: dict[str, Any] = {
        "global": {"scrape_interval": "60s"},
        "scrape_configs": [
            {
                "job_name": "community",
                "metrics_path": "/metrics/community",
                "static_configs": [{"targets": [f"127.0.0.1:{Port.DESK_HTTP}"]}],
            }
        ],
    }
    if spec.sender is Sender.PROMETHEUS:
        return {
            "prometheus.yaml": _yaml({**scrape, "remote_write": list(map(_write, spec.recipients))})
        }
    rules = {_rules_file(each): _yaml(relabelling(each)) for each in spec.recipients}
    return {"scrape.yaml": _yaml(scrape), **rules}


def metrics(spec: CommunityMetricsSpec, product: Product) -> SenderMetrics | None:
    """Where the reporter reads how sending goes; `None`: nothing is sent."""
    if not spec.sends or image(spec, product) is None:
        return None
    names = [each.name for each in spec.recipients]
    return SenderMetrics(url=f"http://127.0.0.1:{Port.SENDER}/metrics", recipients=names)


def image(spec: CommunityMetricsSpec, product: Product) -> str | None:
    """What to run; `None`: the chart names none."""
    vmagent = spec.sender is Sender.VMAGENT
    return product.vmagent_image if vmagent else product.prometheus_image


def sidecar(spec: CommunityMetricsSpec, product: Product) -> list[Manifest]:
    """The container, where anything is sent."""
    found = image(spec, product)
    if found is None or not spec.sends:
        return []
    vmagent = spec.sender is Sender.VMAGENT
    return [
        container(
            SENDER,
            found,
            None,
            args=_vmagent(spec) if vmagent else _prometheus(product.prometheus_agent_flag),
            resources={"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
            volumeMounts=[
                mount("config", CONFIG, read_only=True),
                mount("kept", KEPT),
                *(mount(_volume(each), _folder(each), read_only=True) for each in _secret(spec)),
            ],
        )
    ]


def volumes(spec: CommunityMetricsSpec) -> list[Manifest]:
    """The recipients' tokens: one key of a Secret each."""
    return [
        {
            "name": _volume(each),
            "secret": {
                "secretName": each.token_secret.name,
                "items": [{"key": each.token_secret.key, "path": "token"}],
            },
        }
        for each in _secret(spec)
        if each.token_secret is not None
    ]


def _vmagent(spec: CommunityMetricsSpec) -> list[str]:
    args = [
        f"-promscrape.config={CONFIG}/scrape.yaml",
        f"-httpListenAddr=127.0.0.1:{Port.SENDER}",
        f"-remoteWrite.tmpDataPath={KEPT}/vmagent",
        f"-remoteWrite.maxDiskUsagePerURL={_BACKLOG}",
        # What is in flight is lost by SIGKILL: one block, not one for each of many queues.
        "-remoteWrite.queues=1",
        "-memory.allowedBytes=32MB",
    ]
    for each in spec.recipients:
        args.append(f"-remoteWrite.url={each.url}")
        args.append(f"-remoteWrite.urlRelabelConfig={CONFIG}/{_rules_file(each)}")
        if _secret(spec):
            # One for each URL, in their order; an empty one is none.
            token = f"{_folder(each)}/token" if each.token_secret else ""
            args.append(f"-remoteWrite.bearerTokenFile={token}")
    return args


def _prometheus(agent_flag: str) -> list[str]:
    return [
        agent_flag,
        f"--config.file={CONFIG}/prometheus.yaml",
        f"--storage.agent.path={KEPT}/prometheus",
        f"--web.listen-address=127.0.0.1:{Port.SENDER}",
        # It would wait a minute for a receiver that is away, longer than the pod's grace.
        f"--storage.remote.flush-deadline={_FLUSH}",
    ]


def _write(recipient: Recipient) -> dict[str, Any]:
    token: dict[str, Any] = {}
    if recipient.token_secret is not None:
        token = {"authorization": {"credentials_file": f"{_folder(recipient)}/token"}}
    return {
        "name": recipient.name,
        "url": recipient.url,
        **token,
        "write_relabel_configs": relabelling(recipient),
    }


def _secret(spec: CommunityMetricsSpec) -> list[Recipient]:
    return [each for each in spec.recipients if each.token_secret is not None]


def _rules_file(recipient: Recipient) -> str:
    return f"relabel-{recipient.name}.yaml"


def _folder(recipient: Recipient) -> str:
    return f"{TOKENS}/{recipient.name}"


def _volume(recipient: Recipient) -> str:
    return f"token-{recipient.name}"[:63].rstrip("-")


def _yaml(content: object) -> str:
    text: str = yaml.safe_dump(content, sort_keys=False)
    return text
