"""From what a person wrote to nodes that know where they stand."""
