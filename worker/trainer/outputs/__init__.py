"""The files that an attempt leaves: models, history, environment. None is ever half written."""
