"""From a message in Redis to a slot that looks for a job.

Who may push into a queue is not trusted: what is not a wake-up is dropped, and a payload is checked
like a spec.
"""
