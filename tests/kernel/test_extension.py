"""What other packages add, to an actor system and elsewhere."""

from __future__ import annotations

import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest

from tinyllm_actors.conversation.registry import STORES
from tinyllm_actors.errors import ConfigurationError, UnknownModel, UnknownStore
from tinyllm_actors.kernel import Actor, ActorSystem, extension
from tinyllm_actors.kernel.adapters import Adapters
from tinyllm_actors.llm.registry import EMBEDDING_MODELS, MODELS, model_from_name
from tinyllm_actors.retrieval.registry import VECTOR_STORES

if TYPE_CHECKING:
    from collections.abc import Callable


async def opened(system: ActorSystem, agent: Any, **options: Any) -> tuple[str, Any, dict[str, Any]]:
    """Stand for an extension."""
    return system.name, agent, options


@pytest.fixture
def announce(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Return what lets packages announce `(name, value)` pairs in every group; it answers with the look-ups."""

    def announce(*points: tuple[str, str]) -> list[str]:
        asked: list[str] = []

        def entry_points(*, group: str) -> list[metadata.EntryPoint]:
            asked.append(group)
            return [metadata.EntryPoint(name, value, group) for name, value in points]

        monkeypatch.setattr(metadata, "entry_points", entry_points)
        return asked

    return announce


@pytest.mark.anyio
async def test_conversations_are_the_extension_of_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """`system.conversations` passes its arguments on, and the system."""
    monkeypatch.setattr(extension, "EXTENSIONS", Adapters("none", {"conversations": f"{__name__}:opened"}))
    spec = Actor.spec()
    async with ActorSystem("shop") as system:
        given: dict[str, Any] = {"store": "memory", "name": "chats", "idle": 3.0}
        assert await system.conversations(spec, **given) == ("shop", spec, given)


def test_conversations_come_with_the_library() -> None:
    """That extension needs no installed entry point."""
    from tinyllm_actors.conversation.opening import open_conversations

    assert extension.extension("conversations") is open_conversations


def test_another_package_adds_one_by_an_entry_point(
    monkeypatch: pytest.MonkeyPatch, announce: Callable[..., list[str]]
) -> None:
    """It is found by its name in the group `tinyllm_actors.extensions`."""
    asked = announce(("clock", "time:monotonic"))
    monkeypatch.setattr(extension, "EXTENSIONS", Adapters(extension.EXTENSIONS.group, extension.EXTENSIONS.own))
    assert extension.extension("clock") is time.monotonic
    with pytest.raises(ConfigurationError, match=r"no package adds 'telescope' .* known: 'clock', 'conversations'"):
        extension.extension("telescope")
    assert asked == ["tinyllm_actors.extensions"], "installed packages were looked through more than once"


def test_names_of_the_library_stay_its_own(announce: Callable[..., list[str]]) -> None:
    """No package takes over a name that the library has, and such a name costs no look through installed packages."""
    asked = announce(("clock", "time:monotonic"), ("watch", "time:perf_counter"))
    clocks = Adapters("clocks", {"clock": "time:time"})
    assert "clock" in clocks
    assert clocks.load("clock") is time.time
    assert asked == []
    assert "watch" in clocks
    assert "sundial" not in clocks
    assert clocks.load("watch") is time.perf_counter
    assert clocks.known() == {"clock": "time:time", "watch": "time:perf_counter"}
    assert asked == ["clocks"]


def test_another_package_takes_urls_and_model_names(
    monkeypatch: pytest.MonkeyPatch, announce: Callable[..., list[str]]
) -> None:
    """A scheme, or a provider, that it announces is found, and is named to those who err."""
    announce(("shelf", "builtins:str"))
    stores = Adapters("stores", {"memory": "builtins:bytes"})
    assert stores.load_for_url("shelf://a/b", "sqlite:///x.db") is str
    with pytest.raises(UnknownStore, match=r"begins with 'self'\. Did you mean 'shelf:'.* 'sqlite:///x\.db'.* 'shelf'"):
        stores.load_for_url("self://user:secret@host", "sqlite:///x.db")
    monkeypatch.setattr("tinyllm_actors.llm.registry.MODELS", Adapters("models", {"shell": "builtins:dict"}))
    with pytest.raises(UnknownModel, match=r"model 'shelf.'; did you mean 'shelf/…'\? .* adapters: 'shelf/…', 'shell"):
        model_from_name("shelfs")


@pytest.mark.parametrize("adapters", [MODELS, EMBEDDING_MODELS, STORES, VECTOR_STORES], ids=lambda known: known.group)
def test_entry_points_and_built_in_names_agree(adapters: Adapters) -> None:
    """What an installed library announces is what a source tree works with."""
    announced = {point.name: point.value for point in metadata.entry_points(group=adapters.group)}
    assert announced == adapters.own
