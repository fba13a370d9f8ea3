"""Slots and their trainer processes: devices, environment, start, pipes, exit status."""
