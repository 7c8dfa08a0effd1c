"""Where requests go and which headers they carry. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tinyllm_actors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["chat_url", "request_headers", "secrets_of"]

_PATH = "/chat/completions"
# What is no secret though it is sent; all else may be a key under a name that nobody knows.
_PUBLIC = frozenset({"accept", "accept-encoding", "content-type", "http-referer", "user-agent", "x-title"})


def chat_url(api_base: str) -> str:
    """Return the address of the chat API below `api_base`, whose query is kept.

    Raises:
        ConfigurationError: `api_base` is no http(s) address, or holds a password.
    """
    try:
        parts = urlsplit(api_base)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError(f"api_base {api_base!r} is no address: {error}") from error
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("api_base must hold no user name or password; give api_key or headers")
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ConfigurationError(f"api_base must be like 'https://host/v1', not {api_base!r}")
    path = parts.path.rstrip("/").removesuffix(_PATH)
    return parts._replace(path=path + _PATH, fragment="").geturl()


def request_headers(api_key: str | None, headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers of each request; `headers` win over ours.

    Raises:
        ConfigurationError: a value cannot be sent in a header. The message does not hold it.
    """
    ours = {
        "Accept": "application/json, text/event-stream",
        "Accept-Encoding": "identity",
        "Content-Type": "application/json",
        "User-Agent": "tinyllm_actors",
    }
    if api_key:
        ours["Authorization"] = f"Bearer {api_key}"
    for source, values in (("api_key", ours), ("headers", headers)):
        for name, value in values.items():
            if not (value.isascii() and value.isprintable() and name.isascii() and name.isprintable()):
                what = "api_key" if source == "api_key" else f"header {name!r}"
                raise ConfigurationError(f"{what} holds a character that cannot be sent; is there a line break in it?")
    theirs = {name.lower() for name in headers}
    return {name: value for name, value in ours.items() if name.lower() not in theirs} | dict(headers)


def secrets_of(headers: Mapping[str, str]) -> list[str]:
    """Return the values that must not be shown."""
    return [value for name, value in headers.items() if name.lower() not in _PUBLIC]
