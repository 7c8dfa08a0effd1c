"""Start a set of conversations in an actor system."""

from __future__ import annotations

import os
import secrets
import socket
from typing import TYPE_CHECKING, cast

import anyio.to_thread

from tinyllm_actors.conversation.ended_logs import EndedLogs
from tinyllm_actors.conversation.hub import ConversationHub
from tinyllm_actors.conversation.live import LiveTable
from tinyllm_actors.conversation.registry import store_from_url
from tinyllm_actors.conversation.settings import ConversationSettings

if TYPE_CHECKING:
    from typing import Unpack

    from tinyllm_actors.conversation.ref import Conversations
    from tinyllm_actors.conversation.settings import ConversationOptions
    from tinyllm_actors.conversation.store import ConversationStore
    from tinyllm_actors.kernel import ActorSystem, ChildSpec

__all__ = ["open_conversations"]


async def open_conversations(
    system: ActorSystem,
    agent: ChildSpec,
    *,
    store: str | ConversationStore = "sqlite:///conversations.db",
    name: str = "conversations",
    **settings: Unpack[ConversationOptions],
) -> Conversations:
    """Return a set of durable conversations, each with an agent of its own.

    ```python
    >>> import anyio
    >>> from tinyllm_actors import ActorSystem, Agent
    >>> from tinyllm_actors.testing import ScriptedModel, text
    >>> async def main() -> None:
    ...     model = ScriptedModel([text("Hello Ada.")])
    ...     async with ActorSystem("service") as system:
    ...         chats = await system.conversations(Agent.spec(model=model), store="memory:")
    ...         ada = chats["user/ada"]
    ...         await ada(content="I am Ada.", turn_id="t1")
    ...         await ada(content="I am Ada.", turn_id="t1")  # the same turn: the model is not asked again
    ...         print([message.content for message in await ada.history()])
    >>> anyio.run(main)
    ['I am Ada.', 'Hello Ada.']

    ```

    Args:
        system: where they live.
        agent: the spec of the agent; its memory is filled from the journal. Its session, for traces and tools, is the
            key of the conversation, unless the spec names one; its user is what the setting `user_of` makes of the key.
        store: a URL (`"sqlite:///chats.db"`, `"postgresql://…"`, `"memory:"`) or a store.
        name: of the set, in the tree of actors.
        **settings: of `ConversationSettings`.

    Raises:
        StartFailed: the store cannot be opened.
        ConfigurationError: a setting has no meaning, or no adapter takes the URL.
    """
    known = ConversationSettings.__dataclass_fields__
    for key in settings:
        if key not in known:
            raise TypeError(f"no setting {key!r} of conversations; there are {', '.join(known)}")
    made = ConversationSettings(**settings)
    owner = f"{socket.gethostname()[:64]}:{os.getpid()}:{secrets.token_hex(4)}"
    if isinstance(store, str):
        # In a thread, as this may import an adapter, and with it a vendor's package.
        store = await anyio.to_thread.run_sync(store_from_url, store)
    table = LiveTable(store, owner, EndedLogs(made.replay_for))
    ref = await system.spawn(ConversationHub.spec(agent, table, made), name=name)
    return cast("Conversations", ref)
