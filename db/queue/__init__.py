"""Every function that changes rows: jobs, claims, attempts, queues and workers.

Each public call that takes a `Database` makes its own transactions. A change of a job's state goes
through `moves`, which also records the event. A write of an attempt goes through `fences`. Answers
for people come from `fornada.db.reads`.
"""
