"""Converts a declared connection to one of the service's store."""

import uuid
from datetime import UTC, datetime

from airbyte_declaration.declaration import Connection as Declared
from airbyte_declaration.streams import ConnectionOptions
from airbyte_local.store import Connection


def stored(declared):
    """The connection; its id depends on its name."""
    options = ConnectionOptions.model_validate(Declared.model_validate(declared).options())
    ids = [uuid.uuid5(uuid.NAMESPACE_URL, f"{kind}/{options.name}") for kind in ("connection", "any", "any", "any")]
    return Connection(*ids, options, datetime.now(UTC))
