"""Single values for those who need one: the environment, then the file. Adapters ask here for keys.

It looks at the disk: call it in a worker thread. A file is read once, and again when it has changed.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from tinyllm_actors.config.names import SECTIONS, is_secret_setting, variable_of
from tinyllm_actors.config.reading import read_sections
from tinyllm_actors.config.search import find_config_file

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["file_secrets", "file_setting", "postgres_url", "setting"]

_lock = threading.Lock()
_read: dict[str, tuple[tuple[int, ...], dict[str, str]]] = {}


def setting(name: str) -> str | None:
    """Return a value by the name of its environment variable: of the environment, or else of the file.

    Raises:
        ConfigurationError: there is a file, and it cannot be used.
    """
    return os.environ.get(name) or file_setting(name)


def file_setting(name: str) -> str | None:
    """Return a value of the file, by the name of its environment variable, whatever the environment says.

    Raises:
        ConfigurationError: there is a file, and it cannot be used.
    """
    return _values().get(name)


def file_secrets() -> list[str]:
    """Return the file's secrets, for whoever must not write them; none if the file cannot be read."""
    from tinyllm_actors.errors import ConfigurationError

    try:
        return [value for name, value in _values().items() if is_secret_setting(name)]
    except ConfigurationError:
        return []


def postgres_url() -> str | None:
    """Return the URL of the configured database, password included; None if none is configured.

    Raises:
        ConfigurationError: there is a file, and it cannot be used.
        MissingDependency: a package is not installed.
    """
    if setting("POSTGRES_HOST") is None:
        return None
    from tinyllm_actors.config.loading import load_settings

    return load_settings().postgres.url()


def _values() -> dict[str, str]:
    path = find_config_file()
    if path is None:
        return {}
    stamp = _stamp(path)
    with _lock:
        known = _read.get(str(path))
    if known is not None and known[0] == stamp:
        return known[1]
    sections: dict[str, dict[str, Any]] = read_sections(path)
    values = {variable_of(name, key): value for name in SECTIONS for key, value in sections.get(name, {}).items()}
    with _lock:
        _read.clear()  # the one that holds now
        _read[str(path)] = (stamp, values)
    return values


def _stamp(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return (status.st_mtime_ns, status.st_size, status.st_ino)
