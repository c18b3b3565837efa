"""Registered models to scores and reasons: batch and HTTP."""
