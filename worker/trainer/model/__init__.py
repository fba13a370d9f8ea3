"""From a spec to a compiled Keras model, and what Keras would refuse on the way."""
