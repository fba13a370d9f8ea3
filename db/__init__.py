"""The SQL database: it stores jobs, attempts, epochs and artifacts."""
