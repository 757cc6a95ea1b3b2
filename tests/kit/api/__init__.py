"""Resources made from the schema of a CRD, for tests of what API server and models say of them."""
