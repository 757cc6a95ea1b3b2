"""How many pods demand asks for, as KEDA is told. Pure."""
