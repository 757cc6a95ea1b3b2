"""Tasks of the JSON API that several brokers share in one Redis."""
