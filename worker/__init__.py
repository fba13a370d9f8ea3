"""How a job is baked: the Celery worker, the supervisors of its slots, and the trainer."""
