"""What the worker does for one attempt at a job, from the claim to the verdict.

`fornada.worker.slots` starts and ends the trainer process.
"""
