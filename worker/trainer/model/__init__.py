"""Turns a spec into a compiled Keras model, and explains what Keras refuses."""
