"""Small files that are read again when they change: secrets, tokens, the certificate."""

from __future__ import annotations

import hashlib
import logging
import ssl
from pathlib import Path
from typing import Final

from mediafleet_common.serving.run import CannotStartError
from mediafleet_common.serving.tls import check_pair

_MOST_BYTES: Final = 64 * 1024

_log: Final = logging.getLogger(__name__)


class Lines:
    """The lines of a file that are not empty and no comment.

    A file that cannot be read any more is reported once; what it held stays in force. A line that
    is taken out counts no more at once.

    Raises:
        CannotStartError: on creation, when it cannot be read, or holds no line.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._lines: list[str] = []
        self._complained = False
        try:
            self._read()
        except (OSError, ValueError) as error:
            raise CannotStartError(f"{path}: {_reason(error)}") from error

    def __call__(self) -> list[str]:
        """What the file holds now."""
        try:
            self._read()
            self._complained = False
        except (OSError, ValueError) as error:
            if not self._complained:
                _log.error("%s: %s; what it held stays in force", self._path, _reason(error))
            self._complained = True
        return self._lines

    def first(self) -> str:
        """Its first line."""
        return self()[0]

    def _read(self) -> None:
        stat = self._path.stat()
        stamp = (stat.st_mtime_ns, stat.st_size)
        if stamp == self._stamp:
            return
        with self._path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
        if len(text) > _MOST_BYTES:
            raise ValueError(f"more than {_MOST_BYTES} bytes")
        stripped = (line.strip() for line in text.decode().splitlines())
        lines = [line for line in stripped if line and not line.startswith("#")]
        if not lines:
            raise ValueError("it holds no line: write a secret into it")
        self._stamp, self._lines = stamp, lines


def _reason(error: OSError | ValueError) -> str:
    """Without what the file holds."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)


class Certificate:
    """A server's certificate and key from two files, which may be replaced while we run.

    Raises:
        CannotStartError: on creation, when they cannot be read or do not belong together.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self._paths = (certificate, key)
        self.context: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._stamp: tuple[int, ...] | None = None
        self._followed = True
        self.fingerprint = ""
        """SHA-256 of the certificate in force."""
        self._load()

    def forget_files(self) -> None:
        """The files are gone for good; the pair stays."""
        self._followed = False

    def reload(self) -> None:
        """Use what the files hold now; the pair in force stays when that cannot be used."""
        if not self._followed:
            return
        try:
            self._load()
        except CannotStartError as error:
            _log.error("%s; the certificate in force stays", error)

    def _load(self) -> None:
        try:
            stamp = tuple(path.stat().st_mtime_ns for path in self._paths)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            check_pair(*(path.read_bytes() for path in self._paths))
            self.context.load_cert_chain(*self._paths)
            self.fingerprint = _fingerprint(self._paths[0].read_text(encoding="latin-1"))
        except (OSError, ssl.SSLError) as error:
            raise CannotStartError(f"cannot read the TLS pair: {error}") from error


def _fingerprint(pem: str) -> str:
    """Of the first certificate of a chain."""
    first = pem[pem.index("-----BEGIN CERTIFICATE") : pem.index("-----END CERTIFICATE")]
    der = ssl.PEM_cert_to_DER_cert(f"{first}-----END CERTIFICATE-----")
    return hashlib.sha256(der).hexdigest()
