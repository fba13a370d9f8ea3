"""How Alembic runs the revisions: on the connection, and in the transaction, that it is given."""

from alembic import context

from fornada.db.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite too can take back a CREATE TABLE.
    transactional_ddl=True,
    # SQLite cannot alter most things in place.
    render_as_batch=True,
)
context.run_migrations()
