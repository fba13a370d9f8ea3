"""Folders of images: lists and checks them without Keras, fingerprints them, and finds their packs.

The code that decodes pixels is in `fornada.worker.trainer.data`.
"""
