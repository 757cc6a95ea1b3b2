"""A pod's load over HTTP (`http_client`; text to `Load` is pure, in `load`), and a node's ping."""
