"""The process that trains one job: Keras, no credentials, one story in `run.py`."""
