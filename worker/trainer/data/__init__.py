"""Images on disk become arrays: listed, checked, decoded and ordered as Keras would."""
