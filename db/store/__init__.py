"""The database itself: how SQLite and PostgreSQL are connected to, transactions, and the tables.

What the rows mean, and who may change them, is told in `fornada.db.queue`.
"""
