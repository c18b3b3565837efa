"""The families of features: each module derives a tuple of features from a journey."""
