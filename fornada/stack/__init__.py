"""What a job needs around it: the broker, the embedded stack, and a check of everything."""
