"""Which fleets and pods there are: told by a file or by watching Kubernetes."""
