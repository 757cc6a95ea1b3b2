"""The node that this tier runs on, KEDA beside it, and a fleet that it scales."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
from tests.kit.cluster.keda import Setting, Stage, set_up, staged
from tests.kit.node.fixtures import make_workspace, node, workspace

from mediafleet_testbed.node import Node

__all__ = ["make_workspace", "node", "workspace"]


@pytest.fixture(scope="session")
def setting(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """KEDA and the product, for all tests: they leave it as they find it."""
    with set_up(node, tmp_path_factory.mktemp("keda")) as setting:
        yield setting


@pytest.fixture
async def stage(setting: Setting) -> AsyncIterator[Stage]:
    """A fleet of one test."""
    async with staged(setting) as stage:
        yield stage
