"""The node that the cluster tier runs on, and namespaces on it.

The tier runs inside the node's network, where Service and pod addresses exist:
`python -m mediafleet_testbed exec --up -- python -m pytest tests/cluster`, or `make test-cluster`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mediafleet_testbed import images
from mediafleet_testbed.cluster.workspace import Level, Workspace
from mediafleet_testbed.errors import NotRunningError
from mediafleet_testbed.node import Node, why_not

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOW = "python -m mediafleet_testbed exec --up -- python -m pytest tests/cluster"


@pytest.fixture(scope="session")
def node() -> Node:
    """The running node, with the images of this work tree."""
    reason = why_not()
    if reason is not None:
        pytest.skip(f"the cluster tier cannot run here: {reason}")
    try:
        found = Node.running()
    except NotRunningError:
        pytest.fail(f"no node is running; this starts one and takes it down: {HOW}", pytrace=False)
    if not found.inside:
        pytest.fail(f"outside of the node's network; run it inside: {HOW}", pytrace=False)
    images.load(found.instance)
    return found


@pytest.fixture
def make_workspace(node: Node) -> Iterator[Callable[[Level], Workspace]]:
    """Namespaces at a Pod Security level, deleted at the end of the test."""
    made: list[Workspace] = []

    def make(level: Level) -> Workspace:
        made.append(Workspace.create(node, level=level))
        return made[-1]

    yield make
    for workspace in made:
        workspace.__exit__(None, None, None)


@pytest.fixture
def workspace(make_workspace: Callable[[Level], Workspace]) -> Workspace:
    """A namespace that enforces level `restricted`, as a careful operator's would."""
    return make_workspace("restricted")
