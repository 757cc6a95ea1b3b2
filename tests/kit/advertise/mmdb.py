"""Writes the smallest database in MaxMind's format: one IPv4 network and what is known of it.

Source: maxmind/MaxMind-DB MaxMind-DB-spec.md, version 2.0.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

_MARKER = b"\xab\xcd\xefMaxMind.com"
_TEXT, _MAP, _UINT16, _UINT32, _UINT64, _ARRAY = 2, 7, 5, 6, 9, 11


def write_mmdb(path: Path, cidr: str, record: dict[str, Any]) -> None:
    """Put a database in place that tells `record` for addresses in `cidr`."""
    network = IPv4Network(cidr)
    bits = [int(network.network_address) >> 31 - index & 1 for index in range(network.prefixlen)]
    count = len(bits)
    # A node is two records of 24 bits: the next node, `count` for nothing, or beyond it the data.
    tree = bytearray()
    for index, bit in enumerate(bits):
        onward = index + 1 if index + 1 < count else count + 16
        sides = (onward, count) if bit == 0 else (count, onward)
        tree += b"".join(side.to_bytes(3, "big") for side in sides)
    about = {
        "binary_format_major_version": 2,
        "binary_format_minor_version": 0,
        "build_epoch": 1,
        "database_type": "Test",
        "description": {"en": "test"},
        "ip_version": 4,
        "languages": ["en"],
        "node_count": count,
        "record_size": 24,
    }
    scratch = path.with_suffix(".new")
    scratch.write_bytes(bytes(tree) + bytes(16) + _encoded(record) + _MARKER + _encoded(about))
    scratch.replace(path)


def _encoded(value: Any) -> bytes:
    if isinstance(value, str):
        return _head(_TEXT, len(value.encode())) + value.encode()
    if isinstance(value, int):
        digits = value.to_bytes((value.bit_length() + 7) // 8, "big")
        return _head(_UINT32, len(digits)) + digits
    if isinstance(value, list):
        return _head(_ARRAY, len(value)) + b"".join(map(_encoded, value))
    pairs = b"".join(_encoded(key) + _encoded(each) for key, each in value.items())
    return _head(_MAP, len(value)) + pairs


def _head(kind: int, size: int) -> bytes:
    extended = kind > 7
    first = (0 if extended else kind) << 5 | min(size, 29)
    more = bytes([kind - 7]) if extended else b""
    return bytes([first]) + more + (bytes([size - 29]) if size >= 29 else b"")
