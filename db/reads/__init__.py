"""Every function that answers questions about jobs. Nothing here changes a row.

Most answers are plain dicts, ready for JSON: times are ISO-8601 in UTC with Z, and NaN and infinity
are the strings of `fornada.db.json_values`.
"""
