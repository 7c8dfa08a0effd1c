"""The embedded model under supervision: it comes back after kill -9, and works on several calls at once."""

from __future__ import annotations

import os
import signal
from typing import Any

import anyio
import pytest

from tinyllm_actors import ActorSystem, Backoff
from tinyllm_actors.integrations.local_model import LocalModel
from tinyllm_actors.llm import LLM, ChatRequest, SystemMessage, TextDelta, UserMessage

MISSING = LocalModel.available()
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.timeout(300),  # a busy machine may compute a tenth as fast
]


def ask(text: str, max_tokens: int = 8) -> ChatRequest:
    """Return a short question."""
    messages = [SystemMessage("You are a helpful assistant."), UserMessage(text)]
    return ChatRequest(messages=messages, options={"max_tokens": max_tokens})


async def test_a_killed_server_is_started_again_by_its_supervisor() -> None:
    """Kill -9: the provider notices, starts another process, and the call that comes meanwhile is answered."""
    model = LocalModel(slots=1, context=1024)
    async with ActorSystem("test") as system:
        llm = await system.spawn(LLM, model, backoff=Backoff(0.05, 1.0, jitter=0.0))
        first: Any = await llm.within(200)(request=ask("Say hello."))
        assert first["status"] == "success"
        pid = model.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        second: Any = await llm.within(200)(request=ask("Say hello."))
        assert second["status"] == "success", second
        assert model.pid not in (None, pid)
    assert model.pid is None


async def test_slots_work_at_once() -> None:
    """With two slots a short call is answered while a long one is under way."""
    model = LocalModel(slots=2, context=4096)
    await model.open()
    try:
        with anyio.fail_after(200):
            async with model.stream(ask("Tell a very long story about the sea.", max_tokens=1500)) as events:
                assert isinstance(await anext(events), TextDelta)
                assert (await model.complete(ask("Say hello."))).message.content
                assert isinstance(await anext(events), TextDelta)  # the long one is not at its end
    finally:
        await model.aclose()
