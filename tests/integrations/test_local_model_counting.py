"""Counting tokens with llama.cpp when that does not answer as it should."""

from __future__ import annotations

import pytest

from tinyllm_actors.errors import MalformedResponse, ModelError, ModelUnavailable, StreamInterrupted
from tinyllm_actors.integrations.local_model.counting import Counter
from tinyllm_actors.llm.messages import UserMessage
from tinyllm_actors.testing.behaviours import Behaviour, answer, drop_stream, malformed_json, refuse
from tinyllm_actors.testing.fault_server import FaultServer

pytestmark = pytest.mark.anyio

KEY = "a-key-of-this-test"


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        (refuse(500, "no such template"), ModelUnavailable),
        (answer("neither a prompt nor tokens"), MalformedResponse),
        (malformed_json(), MalformedResponse),
        (drop_stream(), (StreamInterrupted, ModelUnavailable)),
    ],
)
async def test_what_goes_wrong_is_typed(behaviour: Behaviour, expected: type[ModelError]) -> None:
    """Each failure is a `ModelError` that names the model, and never the key."""
    async with FaultServer(behaviour) as server:
        counter = Counter(server.base_url, KEY, "local/m", 5.0)
        await counter.open()
        try:
            with pytest.raises(expected) as caught:
                await counter.count([UserMessage("hello")])
        finally:
            await counter.aclose()
    assert caught.value.model == "local/m"
    assert KEY not in str(caught.value)


async def test_a_closed_counter_says_so() -> None:
    """Before it is open and after it is closed, a count is a mistake of the caller."""
    counter = Counter("http://127.0.0.1:9", KEY, "local/m", 5.0)
    with pytest.raises(RuntimeError, match="not open"):
        await counter.count([])
    await counter.open()
    await counter.aclose()
    await counter.aclose()
    with pytest.raises(RuntimeError, match="not open"):
        await counter.count([])
