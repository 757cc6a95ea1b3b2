"""How values are written as text: times, addresses, quantities, URLs of nodes. Pure."""
