"""The process of a trainer: its imports, its pipes, its limits and its memory."""
