"""Rules of psrpc: whom a client takes. Pure."""
