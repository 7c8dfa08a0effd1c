"""What higher layers add to an actor system, found by name, so that the kernel knows none of them.

Extensions announce themselves as entry points of the group `tinyllm_actors.extensions`: functions whose first argument
is the system.
"""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["extension"]

GROUP: Final = "tinyllm_actors.extensions"

# Those that come with the library, so that a source tree works without being installed.
_BUILT_IN: Final = {"conversations": "tinyllm_actors.conversation.opening:open_conversations"}


@lru_cache(maxsize=32)
def extension(name: str) -> Callable[..., Any]:
    """Return the extension of that name.

    Raises:
        ConfigurationError: no package adds one of that name.
    """
    where = _BUILT_IN.get(name)
    if where is None:
        from importlib.metadata import entry_points

        where = next((point.value for point in entry_points(group=GROUP, name=name)), None)
    if where is None:
        raise ConfigurationError(f"no package adds {name!r} to an actor system; known: {', '.join(_BUILT_IN)}")
    module, _, attribute = where.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return found
