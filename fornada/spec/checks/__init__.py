"""What one field of a spec alone cannot say: fields against one another, and against the data."""
