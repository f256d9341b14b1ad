"""What alembic runs for every command: on the connection that ``migrations.upgrade`` hands over.

Law: the transaction is the caller's.
"""

from __future__ import annotations

from alembic import context

from lbdrivers.store.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
