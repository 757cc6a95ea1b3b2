"""The node that this tier runs on, and namespaces on it."""

from tests.kit.node.fixtures import make_workspace, node, workspace

__all__ = ["make_workspace", "node", "workspace"]
