"""What jobs need to run: the broker, the embedded stack, and the checks of `fornada doctor`."""
