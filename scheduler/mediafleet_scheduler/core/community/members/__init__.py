"""Who is known: orchestrators on-chain, and who of them may see detail. Pure."""
