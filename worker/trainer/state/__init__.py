"""The training state: all that makes a training that goes on equal to one that never stopped.

`tensors` is its file, `contents` what stands in it, `live` takes it from a training and puts it
back, `keeper` keeps the newest two on disk, `finding` chooses the one to go on from.
"""
