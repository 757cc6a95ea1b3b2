"""How many pods a demand asks for: the rules that the operator and the desks share. Pure."""
