"""Everything that changes rows: jobs, claims, attempts, queues and workers.

Each call is one transaction. A change of a job's state goes through `moves`, which records its
event; a write of an attempt goes through `fences`. Answers for people are made in
`fornada.db.reads`.
"""
