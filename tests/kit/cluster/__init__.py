"""The product on the node, and all that a test of the whole of it has at hand."""
