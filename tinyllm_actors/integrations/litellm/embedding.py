"""`LiteLLMEmbeddings`: vectors from any provider that litellm knows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import anyio
import msgspec

from tinyllm_actors.errors import ConfigurationError, MalformedResponse, UnknownModel
from tinyllm_actors.integrations.litellm.client import takes_embedding_client
from tinyllm_actors.integrations.litellm.session import Session
from tinyllm_actors.integrations.litellm.usage import with_cost
from tinyllm_actors.llm.embedding import EmbeddingModel, Embeddings
from tinyllm_actors.llm.embedding_wire import convert_embeddings, embeddings_from_wire

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["LiteLLMEmbeddings", "embedding_from_name"]

_PREFIX = "litellm/"
_OWN = {
    "aembedding": "every call is asynchronous",
    "input": "they are the texts",
    "max_retries": "retries are the caller's, who knows the deadline",
    "model": "it is the model's name",
    "num_retries": "retries are the caller's, who knows the deadline",
}


class _Zero(int):
    """A zero that does not look like nothing said: litellm lets OpenAI's SDK retry `max_retries or 2` times."""

    def __bool__(self) -> bool:
        return True


_NEVER = _Zero(0)


class LiteLLMEmbeddings(EmbeddingModel):
    """An embedding model of any provider that litellm knows.

    ```python
    model = LiteLLMEmbeddings("mistral/mistral-embed")
    await model.open()
    vectors = (await model.embed(["one", "two"])).vectors
    ```

    litellm embeds with Mistral, Fireworks, Nebius, W&B and Xinference through OpenAI's SDK and hands it no number of
    retries, so that it tries twice more by itself within `idle_timeout`. These speak OpenAI's API:
    `OpenAICompatibleEmbeddings` sends one request per call.

    Args:
        model: litellm's name of it, `"provider/model"`.
        dimensions: asks the provider for vectors of that length, where its models can be cut; an answer with others
            is refused. None takes them as they come.
        unit_length: the model promises vectors of length 1.
        max_batch: texts in one request; Gemini takes 100, Cohere 96, OpenAI 2,048.
        idle_timeout: seconds that a request may take.
        options: for `litellm.aembedding` with each call (`api_key`, `api_base`, `input_type`, …).

    Raises:
        ConfigurationError: an option cannot be.
    """

    def __init__(
        self,
        model: str,
        *,
        dimensions: int | None = None,
        unit_length: bool = False,
        max_batch: int = 96,
        idle_timeout: float = 60.0,
        **options: Any,
    ) -> None:
        _check_options(options)
        for name, value in (("dimensions", dimensions), ("max_batch", max_batch)):
            if value is not None and value < 1:
                raise ConfigurationError(f"{name} must be at least 1, not {value!r}")
        if dimensions is not None:
            options["dimensions"] = dimensions
        self.name = model
        self.dimensions = dimensions
        self.unit_length = unit_length
        self.max_batch = max_batch
        self._options = options
        self._session = Session(model, options, idle_timeout=idle_timeout, takes_client=takes_embedding_client)

    def __repr__(self) -> str:
        """Show the model; never the key."""
        return f"LiteLLMEmbeddings({self.name!r})"

    async def open(self) -> None:
        """Import litellm, if nobody has, and find out what can be known without the network. Nothing if it is open.

        Raises:
            UnknownModel: litellm does not know the provider.
            MissingCredential: a key is surely missing.
            MissingDependency: litellm is not installed, or not in a version that works here.
        """
        if not self._session.is_open:
            await self._session.open()

    async def aclose(self) -> None:
        """Give up the connections. Calls that are under way fail with `ModelUnavailable`."""
        await self._session.aclose()

    async def embed_batch(self, texts: list[str]) -> Embeddings:
        """Return one vector for each text.

        Raises:
            ModelError: see `failures`.
            ConfigurationError: an option, or a package that the provider needs.
        """
        bridge = self._session.opened(self)
        arguments: dict[str, Any] = {
            **self._options,
            "model": self.name,
            "input": texts,
            "num_retries": 0,
            "max_retries": _NEVER,
        }
        if self._session.api_key is not None:
            arguments["api_key"] = self._session.api_key
        if self._session.client is not None:
            arguments["client"] = self._session.client
        try:
            return await bridge.call(self._embed, arguments)
        except anyio.ClosedResourceError:
            raise self._session.closed() from None

    # --- on asyncio ---

    async def _embed(self, arguments: dict[str, Any]) -> Embeddings:
        try:
            response = await self._session.ask(self._session.litellm.aembedding, arguments)
            return self._read(response)
        except (Exception, asyncio.CancelledError) as error:
            failure = self._session.failure(error)
        raise failure  # outside of the `except`: its context would be litellm's exception, which quotes requests

    def _read(self, response: Any) -> Embeddings:
        try:
            answer = convert_embeddings(response.model_dump())
        except msgspec.ValidationError as error:
            raise MalformedResponse(f"{self.name}: the provider's answer holds no embeddings: {error}") from None
        found = embeddings_from_wire(answer, self.name)
        hidden: dict[str, object] = getattr(response, "_hidden_params", None) or {}
        return Embeddings(found.vectors, found.model, with_cost(found.usage, hidden.get("response_cost")))


def embedding_from_name(name: str, options: Mapping[str, object]) -> LiteLLMEmbeddings:
    """Return the embedding model that a string names: `"provider/model"`, with or without `"litellm/"` before it.

    Args:
        name: the string.
        options: the arguments of `LiteLLMEmbeddings`.

    Raises:
        UnknownModel: it names nothing. Whether litellm knows the provider is found out by `open()`.
        ConfigurationError: an option cannot be.
    """
    model = name.removeprefix(_PREFIX)
    if not model.strip("/ "):
        raise UnknownModel(
            f"{name!r} names no model; write it as 'provider/model', such as 'openai/text-embedding-3-small'"
        )
    _check_options(options)
    return LiteLLMEmbeddings(model, **cast("dict[str, Any]", options))


def _check_options(options: Mapping[str, object]) -> None:
    for name in sorted(_OWN.keys() & options.keys()):
        raise ConfigurationError(f"{name!r} cannot be a model option: {_OWN[name]}")
