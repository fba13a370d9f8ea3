"""Checks that one field alone cannot answer: they compare fields with each other and the data."""
