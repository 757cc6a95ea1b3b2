"""A browser, and desks with pages to look at."""
