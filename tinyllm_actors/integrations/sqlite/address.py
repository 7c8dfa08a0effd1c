"""What a URL such as `"sqlite:///chats.db?synchronous=normal"` asks for."""

from __future__ import annotations

from typing import Final, cast
from urllib.parse import parse_qsl, unquote, urlsplit

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.integrations.sqlite.store import BUSY_TIMEOUT, SQLiteStore, Synchronous

__all__ = ["from_url"]

_OPTIONS: Final = frozenset({"synchronous", "busy_timeout"})


def from_url(url: str) -> SQLiteStore:
    """Return the store of a URL: `sqlite:///relative.db` or `sqlite:////absolute.db`.

    Options: `synchronous=full|normal` and `busy_timeout=` in seconds; see `SQLiteStore`.

    ```python
    >>> from_url("sqlite:///chats.db?synchronous=normal")
    SQLiteStore('chats.db', synchronous='normal')

    ```

    Raises:
        ConfigurationError: it names no file, or an option that there is not.
    """
    parts = urlsplit(url)
    path = unquote(parts.path)[1:]
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.netloc or not path or path == ":memory:":
        raise ConfigurationError(
            f"{url!r} names no file; write 'sqlite:///chats.db' for one beside the program, 'sqlite:////var/chats.db'"
            " for one anywhere, or 'memory:' to keep nothing"
        )
    if unknown := options.keys() - _OPTIONS:
        raise ConfigurationError(f"no option {sorted(unknown)!r} for SQLite; there are {sorted(_OPTIONS)!r}")
    synchronous = options.get("synchronous", "full").lower()
    try:
        busy_timeout = float(options.get("busy_timeout", BUSY_TIMEOUT))
        return SQLiteStore(path, synchronous=cast("Synchronous", synchronous), busy_timeout=busy_timeout)
    except ValueError as error:
        raise ConfigurationError(f"{url!r}: {error}") from error
