"""What runs on or beside a node: KEDA, kwok, namespaces, pods."""
