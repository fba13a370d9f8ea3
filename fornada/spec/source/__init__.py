"""Parses YAML text and JSON documents into nodes. A node knows where it was written."""
