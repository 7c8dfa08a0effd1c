"""What a URL such as `"postgresql://user@host/database?retry_for=30"` asks for."""

from __future__ import annotations

import os
import re
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from tinyllm_actors.config import postgres_url
from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.integrations.postgres.store import MAX_CONNECTIONS, RETRY_FOR, PostgresStore

__all__ = ["from_url"]

_BARE: Final = re.compile(r"postgres(?:ql)?:(?://?)?/?")
_OURS: Final = frozenset({"max_connections", "retry_for"})


def from_url(url: str) -> PostgresStore:
    """Return the store of a URL in libpq's form.

    Options of the store: `max_connections=` and `retry_for=` in seconds; see `PostgresStore`. All others go to the
    driver (`host`, `sslmode`, …). `"postgresql://"` alone is the database of `tinyllm.yaml`, unless the environment
    names one in libpq's way (`PGHOST` …).

    ```python
    >>> from_url("postgresql://ada:secret@db.example/chats?sslmode=require&max_connections=4")
    PostgresStore('postgresql://ada@db.example/chats', max_connections=4)

    ```

    Raises:
        ConfigurationError: an option is no number.
        MissingDependency: asyncpg is not installed.
    """
    if _BARE.fullmatch(url) and not any(name in os.environ for name in ("PGHOST", "PGHOSTADDR", "PGSERVICE")):
        url = postgres_url() or url
    parts = urlsplit(url)
    options = parse_qsl(parts.query, keep_blank_values=True)
    ours = {name: value for name, value in options if name in _OURS}
    theirs = urlencode([(name, value) for name, value in options if name not in _OURS])
    try:
        max_connections = int(ours.get("max_connections", MAX_CONNECTIONS))
        retry_for = float(ours.get("retry_for", RETRY_FOR))
        return PostgresStore(
            urlunsplit(parts._replace(query=theirs)), max_connections=max_connections, retry_for=retry_for
        )
    except ValueError as error:
        raise ConfigurationError(
            f"an option of the store URL {PostgresStore.shown(url)!r} is wrong: {error}"
        ) from error
