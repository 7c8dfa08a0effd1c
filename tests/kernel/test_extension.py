"""What other packages add to an actor system."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.kernel import Actor, ActorSystem, extension

if TYPE_CHECKING:
    from collections.abc import Iterator


async def opened(system: ActorSystem, agent: Any, **options: Any) -> tuple[str, Any, dict[str, Any]]:
    """Stand for an extension."""
    return system.name, agent, options


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    extension.extension.cache_clear()
    yield
    extension.extension.cache_clear()


@pytest.mark.anyio
async def test_conversations_are_the_extension_of_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """`system.conversations` passes its arguments on, and the system."""
    monkeypatch.setitem(extension._BUILT_IN, "conversations", f"{__name__}:opened")  # pyright: ignore[reportPrivateUsage]
    spec = Actor.spec()
    async with ActorSystem("shop") as system:
        assert await system.conversations(spec, store="memory") == ("shop", spec, {"store": "memory"})


def test_conversations_come_with_the_library() -> None:
    """That extension needs no installed entry point."""
    from tinyllm_actors.conversation.opening import open_conversations

    assert extension.extension("conversations") is open_conversations


def test_another_package_adds_one_by_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found by its name in the group `tinyllm_actors.extensions`."""

    def entry_points(*, group: str, name: str) -> list[metadata.EntryPoint]:
        found = metadata.EntryPoint("clock", "time:monotonic", "tinyllm_actors.extensions")
        return [found] if (group, name) == (found.group, found.name) else []

    monkeypatch.setattr(metadata, "entry_points", entry_points)
    import time

    assert extension.extension("clock") is time.monotonic
    with pytest.raises(ConfigurationError, match="no package adds 'telescope'"):
        extension.extension("telescope")
