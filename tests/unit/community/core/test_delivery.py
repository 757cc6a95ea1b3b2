"""What left and what was refused, read from the metrics of real senders of these versions."""

from __future__ import annotations

import pytest

from mediafleet_common.reports.community import Delivery
from mediafleet_scheduler.core.community.delivery import deliveries

VMAGENT = """\
vmagent_remotewrite_pending_data_bytes{path="/d/persistent-queue/1_E33", url="1:secret-url"} 2366
vmagent_remotewrite_pending_data_bytes{path="/d/persistent-queue/2_BF8", url="2:secret-url"} 0
vmagent_remotewrite_requests_total{url="1:secret-url", status_code="2XX"} 7
vmagent_remotewrite_requests_total{url="1:secret-url", status_code="4XX"} 3
vmagent_remotewrite_requests_total{url="2:secret-url", status_code="2XX"} 1e2
vmagent_remotewrite_packets_dropped_total{url="1:secret-url"} 3
vmagent_remotewrite_requests_total{url="3:secret-url", status_code="2XX"} 9
vmagent_remotewrite_conns 1
"""
PROMETHEUS = """\
# TYPE prometheus_remote_storage_samples_total counter
prometheus_remote_storage_samples_total{remote_name="two",url="http://127.0.0.1/api/v1/write"} 30
prometheus_remote_storage_samples_failed_total{remote_name="two",url="http://127.0.0.1/"} 4
prometheus_remote_storage_samples_pending{remote_name="two",url="http://127.0.0.1/"} 6
prometheus_remote_storage_samples_total{remote_name="other",url="http://127.0.0.1/"} 99
prometheus_remote_storage_samples_in_total 36
"""


def test_vmagent_tells_requests_by_the_place_of_the_recipient() -> None:
    assert deliveries(VMAGENT, ["one", "two"]) == [
        Delivery(name="one", accepted=7, refused=3, pending=2366),
        Delivery(name="two", accepted=100),
    ]


def test_prometheus_tells_samples_by_the_name_and_counts_refused_ones_as_sent() -> None:
    assert deliveries(PROMETHEUS, ["one", "two"]) == [
        Delivery(name="one"),
        Delivery(name="two", accepted=26, refused=4, pending=6),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "",
        "vmagent_remotewrite_requests_total",
        'vmagent_remotewrite_requests_total{url="0:x",status_code="2XX"} 1',
        'vmagent_remotewrite_requests_total{url="one:x",status_code="2XX"} 1',
        'vmagent_remotewrite_requests_total{url="9999:x",status_code="2XX"} 1',
        'vmagent_remotewrite_requests_total{status_code="2XX"} 1',
        'vmagent_remotewrite_requests_total{url="1:x",status_code="2XX"} NaN',
        'vmagent_remotewrite_requests_total{url="1:x",status_code="2XX"} +Inf',
        'vmagent_remotewrite_requests_total{url="1:x",status_code="2XX"} many',
        'vmagent_remotewrite_requests_total{url="1:x",status_code="2XX"} -1',
        'prometheus_remote_storage_samples_failed_total{remote_name="one"} 2.5e400',
    ],
)
def test_what_is_no_such_count_is_left_out(line: str) -> None:
    assert deliveries(line, ["one"]) == [Delivery(name="one")]
