"""Which certificate the scaler shows, in a word that changes with it alone.

KEDA reads its own certificate once for each generation of a ScaledObject. Both are renewed
together, so the operator, which may read no Secret, learns from this word when KEDA has to look.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes

_log: Final = logging.getLogger(__name__)
_DIGITS: Final = 8


@dataclass(slots=True)
class ShownCertificate:
    """The certificate in a file, which may be replaced while we run."""

    path: Path | None
    """`None`: the scaler speaks plaintext, or there is none."""
    _stamp: int | None = None
    _word: str | None = None

    def word(self) -> str | None:
        """When it became valid, and the beginning of its SHA-256: a newer one comes later in the
        order of text. `None`: there is none."""
        if self.path is None:
            return None
        try:
            stamp = self.path.stat().st_mtime_ns
            if stamp != self._stamp:
                self._stamp, self._word = stamp, word_of(self.path.read_bytes())
        except (OSError, ValueError) as error:
            # The server itself goes on with the one before, and says so.
            _log.debug("%s is not read: %s", self.path, error)
        return self._word


def word_of(pem: bytes) -> str:
    """The word for a certificate (PEM), the first of a chain.

    Raises:
        ValueError: it is none.
    """
    certificate = x509.load_pem_x509_certificate(pem)
    digits = certificate.fingerprint(hashes.SHA256()).hex()[:_DIGITS]
    return f"{certificate.not_valid_before_utc:%Y%m%dT%H%M%SZ}-{digits}"
