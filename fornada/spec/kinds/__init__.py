"""What a value may be: how it is read, what its problems say, and what editors are told."""
