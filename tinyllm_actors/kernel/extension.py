"""What higher layers add to an actor system, found by name, so that the kernel knows none of them.

Extensions announce themselves as entry points of the group `tinyllm_actors.extensions`: functions whose first argument
is the system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.kernel.adapters import Adapters

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EXTENSIONS", "extension"]

EXTENSIONS: Final = Adapters(
    "tinyllm_actors.extensions", {"conversations": "tinyllm_actors.conversation.opening:open_conversations"}
)


def extension(name: str) -> Callable[..., Any]:
    """Return the extension of that name.

    Raises:
        ConfigurationError: no package adds one of that name.
    """
    found = EXTENSIONS.load(name)
    if found is None:
        known = ", ".join(map(repr, sorted(EXTENSIONS.known())))
        raise ConfigurationError(f"no package adds {name!r} to an actor system; known: {known}")
    return found
