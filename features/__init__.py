"""Event histories to one vector per customer and cutoff."""
