"""Vectors and labels to three registered models."""
