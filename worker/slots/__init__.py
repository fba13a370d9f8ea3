"""Slots, and the trainer process of each: devices, environment, start, pipes, exit status."""
