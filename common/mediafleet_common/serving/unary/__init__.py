"""Unary gRPC calls for anybody on the Internet, over connections that are bounded in every way."""
