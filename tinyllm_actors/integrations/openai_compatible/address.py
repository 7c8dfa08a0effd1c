"""Where requests go and which headers they carry. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tinyllm_actors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CHAT_PATH",
    "EMBEDDINGS_PATH",
    "base_of",
    "check_names",
    "endpoint_url",
    "proxy_address",
    "request_headers",
    "secrets_of",
]

CHAT_PATH = "/chat/completions"
EMBEDDINGS_PATH = "/embeddings"
_ELSEWHERE = {
    "base_url": "'api_base'",
    "default_headers": "'headers'",
    "max_retries": "'max_retries' of the agent or the LLM, not of its model,",
    "timeout": "'idle_timeout'",
}
# What is no secret though it is sent; all else may be a key under a name that nobody knows.
_PUBLIC = frozenset({"accept", "accept-encoding", "content-type", "http-referer", "user-agent", "x-title"})


def check_names(options: Mapping[str, object]) -> None:
    """Raise if an option has the name that other clients give to one of ours, rather than send it to the provider.

    Raises:
        ConfigurationError: it has; the message says which is meant.
    """
    for name in _ELSEWHERE.keys() & options.keys():
        raise ConfigurationError(f"{name!r} is called {_ELSEWHERE[name]} here")


def endpoint_url(api_base: str, path: str = CHAT_PATH) -> str:
    """Return the address of an API below `api_base`, whose query is kept.

    Args:
        api_base: the address, with or without the path of one of the APIs at its end.
        path: of the API.

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
    root = parts.path.rstrip("/").removesuffix(CHAT_PATH).removesuffix(EMBEDDINGS_PATH)
    return parts._replace(path=root + path, fragment="").geturl()


def base_of(url: str) -> str:
    """Return an address without the path of its API and without its query, which may hold a key."""
    parts = urlsplit(url)
    root = parts.path.removesuffix(CHAT_PATH).removesuffix(EMBEDDINGS_PATH)
    return parts._replace(path=root, query="").geturl()


def proxy_address(proxy: str) -> tuple[str, tuple[str, str] | None]:
    """Return a proxy's address without a user name and a password, and those two apart.

    Raises:
        ConfigurationError: it is no http(s) address. The message does not hold it.
    """
    try:
        parts = urlsplit(proxy)
        port = parts.port
    except ValueError as error:
        raise ConfigurationError("proxy is no address") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigurationError("proxy must be like 'http://host:3128' (or 'http://user:password@host:3128')")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    address = f"{parts.scheme}://{host}" + (f":{port}" if port is not None else "")
    if parts.username is None:
        return address, None
    return address, (unquote(parts.username), unquote(parts.password or ""))


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
