"""What is written to the cluster, as plain dictionaries. Pure: a resource in, manifests out."""
