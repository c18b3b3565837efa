"""The store's migrations: Alembic revisions, each written out and never changed once a store may be of it."""
