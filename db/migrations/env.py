"""Alembic runs this file. It runs the revisions in the transaction that the caller has opened."""

from alembic import context

from fornada.db.store.indexes import SCHEMA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SCHEMA,
    # SQLite too can roll back a CREATE TABLE.
    transactional_ddl=True,
    # SQLite can change few things of a table with ALTER TABLE; batch mode copies the table instead.
    render_as_batch=True,
)
context.run_migrations()
