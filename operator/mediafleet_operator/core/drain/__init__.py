"""How a pod leaves. Pure."""
