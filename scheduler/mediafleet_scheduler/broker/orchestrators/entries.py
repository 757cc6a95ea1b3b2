"""The orchestrators file: where the broker registers its models by itself."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from mediafleet_common.api.base import Model


class OrchestratorEntry(Model):
    """One orchestrator."""

    url: Annotated[str, Field(pattern=r"^https?://[!-~]+$", max_length=512)]
    """Its service address, as https://orch.example.com:8935."""
    secret_file: Path
    """Its -orchSecret: the first line of this file, beside this one if relative."""
    fingerprint: Annotated[str | None, Field(pattern="^[0-9a-f]{64}$")] = None
    """SHA-256 of its certificate, which a stock orchestrator makes by itself; none: it is verified
    by the system's authorities."""
    byoc: bool = True
    """Whether models with `byoc` are registered there as external capabilities."""
    live_runner: bool = True
    """Whether models with `live_runner` are registered there; it needs -useLiveRunners."""

    @property
    def key(self) -> str:
        """Its part of the URLs that it is given: tells whose a job is."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:16]


class OrchestratorsFile(Model):
    """All of them."""

    orchestrators: Annotated[list[OrchestratorEntry], Field(max_length=256)]
    """Each once."""

    @model_validator(mode="after")
    def _once(self) -> OrchestratorsFile:
        urls = [each.url for each in self.orchestrators]
        if twice := next((url for url in urls if urls.count(url) > 1), None):
            raise ValueError(f"orchestrators: {twice} is named twice")
        return self
