"""Where Langfuse is and how to get in, and a client of its SDK that nobody else shares."""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import os
import threading
from dataclasses import dataclass, field
from typing import Any, Final

from tinyllm_actors.errors import MissingCredential, MissingDependency

__all__ = ["DEFAULT_URL", "Access", "new_client", "shut_down"]

DEFAULT_URL: Final = "https://cloud.langfuse.com"
INSTALL: Final = 'pip install "tinyllm_actors[langfuse]"'


@dataclass(frozen=True, slots=True)
class Access:
    """Keys, address and patience.

    Attributes:
        public_key: of the project.
        secret_key: of the project; in no `repr`.
        base_url: of the host, without a slash at the end.
        timeout: whole seconds that one request may take.
    """

    public_key: str
    secret_key: str = field(repr=False)
    base_url: str
    timeout: int

    @classmethod
    def of(cls, public_key: str | None, secret_key: str | None, base_url: str | None, timeout: int) -> Access:
        """Return what was given, and for the rest what the environment says.

        Raises:
            MissingDependency: the SDK is not installed.
            MissingCredential: a key is missing.
        """
        if importlib.util.find_spec("langfuse") is None:
            raise MissingDependency(f"the Langfuse SDK is not installed; run: {INSTALL}")
        given = {
            "LANGFUSE_PUBLIC_KEY": public_key or os.environ.get("LANGFUSE_PUBLIC_KEY"),
            "LANGFUSE_SECRET_KEY": secret_key or os.environ.get("LANGFUSE_SECRET_KEY"),
        }
        for name, value in given.items():
            if not value:
                raise MissingCredential(f"Langfuse needs a key: set {name}, or give it as an argument")
        url = base_url or os.environ.get("LANGFUSE_BASE_URL") or os.environ.get("LANGFUSE_HOST") or DEFAULT_URL
        return cls(given["LANGFUSE_PUBLIC_KEY"] or "", given["LANGFUSE_SECRET_KEY"] or "", url.rstrip("/"), timeout)


_making: Final = threading.Lock()


def new_client(access: Access, **options: Any) -> Any:
    """Return a client that is the caller's alone, and that does nothing at the end of the process.

    The SDK keeps one set of threads for each public key, for whoever asks first, and joins them when the process ends,
    which takes half a minute when the host is down. This one is taken out of both, and its owner shuts it down.
    """
    import langfuse

    manager: Any = importlib.import_module("langfuse._client.resource_manager").LangfuseResourceManager
    instances: dict[str, Any] = manager._instances
    with _making:
        others = instances.pop(access.public_key, None)
        try:
            client = langfuse.Langfuse(
                public_key=access.public_key,
                secret_key=access.secret_key,
                host=access.base_url,
                timeout=access.timeout,
                **options,
            )
        finally:
            instances.pop(access.public_key, None)
            if others is not None:
                instances[access.public_key] = others
    for part in _parts(client):
        atexit.unregister(part.shutdown)
    return client


def shut_down(client: Any) -> None:
    """Send what waits, and end the client's threads; it blocks as long as the host lets it."""
    client.shutdown()
    for part in _parts(client)[1:]:
        part.shutdown()
    http: Any = getattr(client._resources, "httpx_client", None)
    if http is not None:
        http.close()


def _parts(client: Any) -> list[Any]:
    """Return what has registered itself for the end of the process: the client's resources, and its prompts'."""
    resources: Any = client._resources
    prompts = getattr(getattr(resources, "prompt_cache", None), "_task_manager", None)
    return [part for part in (resources, prompts) if part is not None]
