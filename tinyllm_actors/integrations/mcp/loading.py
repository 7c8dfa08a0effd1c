"""Import what needs the SDK, in a worker thread the first time: it takes a second."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

import anyio.to_thread

from tinyllm_actors.errors import MissingDependency

__all__ = ["INSTALL", "load", "load_here"]

_PACKAGE = "tinyllm_actors.integrations.mcp"
INSTALL = 'pip install "tinyllm_actors[mcp]"'


async def load(module: str) -> ModuleType:
    """Return a module of this package that needs the SDK.

    A cancellation during the import waits for its end: an import cannot be stopped.

    Raises:
        MissingDependency: the SDK is not installed.
    """
    loaded = sys.modules.get(f"{_PACKAGE}.{module}")
    # One that another thread imports right now is waited for there.
    if loaded is not None and not getattr(loaded.__spec__, "_initializing", False):
        return loaded
    return await anyio.to_thread.run_sync(load_here, module)


def load_here(module: str) -> ModuleType:
    """Return a module of this package that needs the SDK, imported in this thread.

    Raises:
        MissingDependency: the SDK is not installed, or an old one.
    """
    if importlib.util.find_spec("mcp") is None or importlib.util.find_spec("mcp_types") is None:
        raise MissingDependency(f"the MCP SDK is not installed, in version 2.3 or later; run: {INSTALL}")
    return importlib.import_module(f"{_PACKAGE}.{module}")
