"""The actor that owns a model: it opens it, lends it out, notices when it dies, and closes it last of all."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import msgspec

from tinyllm_actors.kernel import Actor, ChildOptions, ChildSpec
from tinyllm_actors.llm.model import ChatModel
from tinyllm_actors.llm.registry import model_from_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.kernel import ActorRef, ActorSystem, ExitReason

__all__ = ["LEASE", "ModelProvider", "open_provider"]


class _Lease(msgspec.Struct, frozen=True):
    """Asks a provider for its model."""


LEASE = _Lease()


class ModelProvider(Actor):
    """Owns one model, for every actor of the system that calls it.

    Args:
        model: a name, from which each incarnation makes a new model; or a model, opened again by each.
        options: for the adapter, if `model` is a name.
    """

    options = ChildOptions(shutdown=30.0)

    def __init__(self, model: str | ChatModel, options: Mapping[str, Any] | None = None) -> None:
        self._source = model
        self._options = options
        self._model: ChatModel | None = None

    async def started(self) -> None:
        """Make and open the model."""
        source = self._source
        if isinstance(source, str):
            # In a thread, as this may import an adapter, and with it a vendor's package.
            self._model = await anyio.to_thread.run_sync(model_from_name, source, self._options)
        else:
            self._model = source
        await self._model.open()
        self.context.start_task(self._watch)

    async def _watch(self) -> None:
        """Fail when the model does, so that the supervisor starts it again."""
        assert self._model is not None
        await self._model.wait_failed()

    def receive(self, message: object) -> ChatModel:
        """Lend the model for one call."""
        if message is not LEASE:
            raise TypeError(f"a model provider answers LEASE only, not {type(message).__name__}")
        assert self._model is not None
        return self._model

    async def stopped(self, reason: ExitReason) -> None:
        """Close the model."""
        try:
            if self._model is not None:
                await self._model.aclose()
        except AssertionError as error:  # a scripted model that was not used as its test says
            self.context.system.crash(error)


async def open_provider(
    system: ActorSystem, model: str | ChatModel, options: Mapping[str, Any] | None = None
) -> ActorRef:
    """Return the provider of `model`, started on first use and shared by all who name the same model and options."""
    if isinstance(model, str):
        label = f"{model.replace('/', ':')}-{_fingerprint(options or {})}"
    else:
        label = f"{model.name.replace('/', ':')}-{id(model):x}"
    return await system.service(label, ChildSpec(ModelProvider, model, options))


def _fingerprint(options: Mapping[str, Any]) -> str:
    """Return a short digest of the options, which may hold keys and so cannot be shown."""
    items = sorted(options.items())
    encoded = msgspec.json.encode(items, enc_hook=lambda value: f"{type(value).__name__}@{id(value):x}")
    return hashlib.sha256(encoded).hexdigest()[:8]
