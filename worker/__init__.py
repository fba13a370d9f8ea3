"""How a job is run: the Celery worker, the supervisors of its slots, and the trainer."""
