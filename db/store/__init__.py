"""Connections to SQLite and PostgreSQL, transactions, and the tables.

`fornada.db.queue` defines what the rows mean and who may change them.
"""
