"""The files that an attempt writes: models, history, environment."""
