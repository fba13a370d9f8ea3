"""A trainer as a process: its imports, its pipes, its limits and its memory."""
