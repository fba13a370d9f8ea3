"""Turns image files into arrays: lists, checks, decodes and orders them as Keras would."""
