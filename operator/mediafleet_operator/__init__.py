"""The control plane: decides which pods exist."""
