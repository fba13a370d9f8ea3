"""The parent process of a worker: `fornada-worker`.

It starts the Celery process, watches its heartbeat, starts it again when it dies or hangs, and
turns the first SIGTERM into a drain. It imports only small modules.
"""
