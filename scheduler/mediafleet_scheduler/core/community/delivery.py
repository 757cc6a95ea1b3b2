"""How sending goes, by the metrics of who sends: vmagent or Prometheus. Pure.

Names: Prometheus storage/remote/queue_manager.go, VictoriaMetrics app/vmagent/remotewrite/client.go
(repositories of the same names). vmagent tells recipients apart by their place among its URLs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from mediafleet_common.reports.community import Delivery

_LINE: Final = re.compile(
    r"(?P<name>[a-z_]{1,100})\{(?P<labels>[^}]{0,1000})\} (?P<value>\S{1,40})"
)
_LABEL: Final = re.compile(r'(?P<name>[a-z_]{1,40})="(?P<value>[^"]{0,600})"')
_ACCEPTED: Final = ("vmagent_remotewrite_requests_total", "prometheus_remote_storage_samples_total")
_REFUSED: Final = (
    "vmagent_remotewrite_packets_dropped_total",
    "prometheus_remote_storage_samples_failed_total",
)
_PENDING: Final = (
    "vmagent_remotewrite_pending_data_bytes",
    "prometheus_remote_storage_samples_pending",
)


def deliveries(metrics: str, recipients: Sequence[str]) -> list[Delivery]:
    """What each recipient took, refused and is still to get.

    Args:
        metrics: in Prometheus' text format. Of what is not there, nothing is counted.
        recipients: their names, in the order in which the sender has them.
    """
    counts = {name: {"accepted": 0, "refused": 0, "pending": 0} for name in recipients}
    for line in metrics.splitlines():
        if not line.startswith(("vmagent_remotewrite_", "prometheus_remote_storage_samples_")):
            continue
        found = _LINE.match(line)
        field = found and _field(found["name"])
        if found is None or field is None:
            continue
        labels = {each["name"]: each["value"] for each in _LABEL.finditer(found["labels"])}
        name = _recipient(labels, recipients)
        value = _count(found["value"])
        if name is None or value is None or labels.get("status_code", "2XX") != "2XX":
            continue
        counts[name][field] += value
        if found["name"] == "prometheus_remote_storage_samples_failed_total":
            # It counts among those that were sent too.
            counts[name]["accepted"] -= value
    return [
        Delivery(name=name, **{key: max(value, 0) for key, value in each.items()})
        for name, each in counts.items()
    ]


def _field(metric: str) -> str | None:
    names = (("accepted", _ACCEPTED), ("refused", _REFUSED), ("pending", _PENDING))
    return next((field for field, metrics in names if metric in metrics), None)


def _recipient(labels: dict[str, str], recipients: Sequence[str]) -> str | None:
    name = labels.get("remote_name")
    if name is not None:
        return name if name in recipients else None
    place = labels.get("url", "").partition(":")[0]
    if not (place.isascii() and place.isdigit() and len(place) < 4):
        return None
    return recipients[int(place) - 1] if 1 <= int(place) <= len(recipients) else None


def _count(text: str) -> int | None:
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return None
