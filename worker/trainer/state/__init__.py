"""The training state: a training that resumes from it equals one that was never stopped.

`tensors` reads and writes its file, `contents` defines what the file holds, `live` copies it from a
training and back, `store` keeps the newest two on disk, `finding` chooses the one to resume from.
"""
