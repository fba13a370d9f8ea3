"""The process that trains jobs with Keras. It has no credentials. `run.py` tells one job's run."""
