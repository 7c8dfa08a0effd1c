"""A conversation with the embedded model, which answers what it likes: what is kept of it is what it said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest

from tests.conversation.test_runtime import answer_of, said
from tinyllm_actors import ActorSystem, Agent
from tinyllm_actors.conversation import CallResult, ModelAnswered, TurnEnded, TurnStarted
from tinyllm_actors.integrations.local_model import LocalModel

if TYPE_CHECKING:
    from pathlib import Path

MISSING = LocalModel.available()
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(MISSING is not None, reason=str(MISSING)),
    pytest.mark.timeout(300),  # a busy machine may compute a tenth as fast
]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    """Run on asyncio only: what the model says does not depend on the loop, and takes seconds."""
    return "asyncio", {}


def get_user_property(asked_property: Literal["name", "birthday"]) -> str:
    """Look up a property of the current user."""
    return {"name": "Elias", "birthday": "January 1st"}[asked_property]


async def test_a_conversation_with_the_embedded_model(tmp_path: Path) -> None:
    """It looks the birthday up, and what was said is there in the next process, without asking again."""
    store = f"sqlite:///{tmp_path}/chats.db"
    agent = Agent.spec(model="local", tools=[get_user_property])
    async with ActorSystem("a") as system:
        chats = await system.conversations(agent, store=store)
        answer = answer_of(await chats["ada"]("What is the user's birthday?", turn_id="t1"))
        assert answer.strip()
    async with ActorSystem("b") as system:
        chats = await system.conversations(agent, store=store)
        chat = chats["ada"]
        history = await chat.history()
        assert said(history)[0] == "What is the user's birthday?"
        assert said(history)[-1] == answer
        assert answer_of(await chat("What is the user's birthday?", turn_id="t1")) == answer
        entries = [record.entry() for record in await chat.page()]
        assert [type(entry) for entry in entries if isinstance(entry, TurnStarted | TurnEnded)] == [
            TurnStarted,
            TurnEnded,
        ]
        assert any(isinstance(entry, CallResult) and "January 1st" in entry.content for entry in entries)
        report = await chat.report()
        usages = [entry.completion.usage for entry in entries if isinstance(entry, ModelAnswered)]
        assert report.totals.completion_tokens == sum(usage.completion_tokens for usage in usages if usage is not None)
        assert report.totals.completion_tokens > 0
