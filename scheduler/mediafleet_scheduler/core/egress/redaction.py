"""What of a pod's words may be kept and logged. Pure.

A pod refuses a bad URL by naming it, and the URL of a stream holds its key. Source: livekit/egress
pkg/errors/errors.go (ErrInvalidUrl).
"""

from __future__ import annotations

import re
from typing import Final

# A scheme is short: without that bound, a long word of letters is gone through for each of them.
_URL: Final = re.compile(r"([a-z][a-z0-9+.-]{0,31})(:|%3a)(//|%2f%2f)\S+", re.IGNORECASE)

_INVALID_URL: Final = re.compile(
    r"(invalid url )([a-z][a-z0-9+.-]{0,31}://)?.*", re.IGNORECASE | re.DOTALL
)
"""A mistyped URL may lack a slash or hold a space, and the reason after it may quote pieces."""


def redacted(text: str) -> str:
    """The text with nothing left of its URLs but their schemes, nor of what explains a bad one."""
    cleaned = _INVALID_URL.sub(lambda said: f"{said[1]}{said[2] or ''}…", text)
    return _URL.sub(r"\1://…", cleaned)
