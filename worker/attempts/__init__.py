"""One attempt at a job, from the claim to the verdict, as the worker's side sees it.

How the trainer's process is started and ended is told in `fornada.worker.slots`.
"""
