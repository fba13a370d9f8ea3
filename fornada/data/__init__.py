"""Folders of images: listed and judged without Keras, named by their content, and kept as packs.

How pixels are decoded is told in `fornada.worker.trainer.data`.
"""
