"""Whether the host of a worker can run jobs now; while it cannot, the worker claims none."""
