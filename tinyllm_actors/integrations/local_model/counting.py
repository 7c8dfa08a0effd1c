"""How many tokens a prompt has, asked of llama.cpp itself, so exact: its template, and its tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import anyio
import msgspec

from tinyllm_actors.errors import ForeignCancellation, MalformedResponse, ModelError, ModelUnavailable
from tinyllm_actors.integrations.openai_compatible.client import Client, closed_during_call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tinyllm_actors.llm.messages import Message

__all__ = ["Counter"]

MAX_BYTES = 64 * 1024 * 1024
"""Of llama.cpp's answers: a number of some digits for each token."""


class _Prompt(msgspec.Struct):
    prompt: str


class _Tokens(msgspec.Struct):
    tokens: list[int]


Answer = TypeVar("Answer", _Prompt, _Tokens)


class Counter:
    """Counts the tokens of messages. Open it before the first count and close it after the last.

    Args:
        address: of llama.cpp's server.
        key: that it wants.
        name: of the model, for errors.
        idle_timeout: seconds without a sign of life.
    """

    def __init__(self, address: str, key: str, name: str, idle_timeout: float) -> None:
        self._name = name
        self._template, self._tokenizer = (
            Client(
                path,
                api_base=address,
                api_key=key,
                headers={"Connection": "close"},
                connect_timeout=10.0,
                idle_timeout=idle_timeout,
                max_body_bytes=MAX_BYTES,
                max_stream_bytes=MAX_BYTES,
                max_connections=None,
                proxy=None,
                ssl_context=None,
            )
            for path in ("/apply-template", "/tokenize")
        )

    async def open(self) -> None:
        """Make the pools; nothing is sent yet."""
        try:
            await self._template.open(self._name)
            await self._tokenizer.open(self._name)
        except BaseException:
            await self.aclose()
            raise

    async def aclose(self) -> None:
        """Close the connections. Idempotent."""
        try:
            await self._template.aclose()
        finally:
            await self._tokenizer.aclose()

    async def count(self, messages: Sequence[Message]) -> int:
        """Return how many tokens the messages have as a prompt, what begins the answer included.

        Raises:
            ModelError: llama.cpp does not answer, or cannot apply its template.
        """
        prompt = await self._ask(self._template, {"messages": messages}, _Prompt)
        question = {"content": prompt.prompt, "add_special": True, "parse_special": True}
        return len((await self._ask(self._tokenizer, question, _Tokens)).tokens)

    async def _ask(self, client: Client, question: object, kind: type[Answer]) -> Answer:
        bridge, transport = client.opened(self)
        try:
            head, data = await bridge.call(transport.fetch, msgspec.json.encode(question))
        except (ForeignCancellation, anyio.ClosedResourceError) as error:
            raise closed_during_call(self._name) from error
        except ModelError as error:
            client.clean(error, self._name)
            raise
        if not head.ok:
            raise ModelUnavailable(f"{self._name} counts no tokens: status {head.status}", model=self._name)
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.DecodeError as error:
            raise MalformedResponse(f"{self._name} counted something else: {error}", model=self._name) from error
