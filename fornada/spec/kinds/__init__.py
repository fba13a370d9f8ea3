"""Kinds of values. A kind reads one value, words its problems, and gives its JSON Schema."""
