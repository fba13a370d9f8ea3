"""What is remembered: jobs, attempts, epochs and artifacts in a SQL database."""
