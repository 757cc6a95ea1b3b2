"""The body of a remote write (1.0): protobuf in a block of snappy.

The block is made of literals alone, which every reader of snappy takes
(google/snappy format_description.txt): what is written here is a few kB an hour.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from mediafleet_common.wire import remote_write_pb2 as wire
from mediafleet_scheduler.core.community.weeks.series import Labels, Sample

HEADERS: Final = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
_LITERAL_BYTES: Final = 65_536
_TWO_BYTES_OF_LENGTH: Final = 61 << 2


def body(samples: Iterable[Sample]) -> bytes:
    """The request that writes these samples."""
    series: defaultdict[Labels, list[Sample]] = defaultdict(list)
    for each in samples:
        series[each.labels].append(each)
    request = wire.WriteRequest(
        timeseries=[
            wire.TimeSeries(
                labels=[wire.Label(name=name, value=value) for name, value in labels],
                samples=[
                    wire.Sample(value=each.value, timestamp=each.at * 1000)
                    for each in sorted(points, key=lambda sample: sample.at)
                ],
            )
            for labels, points in series.items()
        ]
    )
    return _block(request.SerializeToString())


def _block(content: bytes) -> bytes:
    made = bytearray(_varint(len(content)))
    for start in range(0, len(content), _LITERAL_BYTES):
        literal = content[start : start + _LITERAL_BYTES]
        made.append(_TWO_BYTES_OF_LENGTH)
        made += (len(literal) - 1).to_bytes(2, "little")
        made += literal
    return bytes(made)


def _varint(number: int) -> bytes:
    made = bytearray()
    while number >= 0x80:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)
