"""Everything that answers questions about jobs. Nothing here changes a row.

Answers are plain dicts, ready for JSON: times are ISO-8601 in UTC with Z, and numbers that are not
finite are the strings of `fornada.db.json_values`.
"""
