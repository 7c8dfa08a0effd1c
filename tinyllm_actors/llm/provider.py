"""The actor that owns a model: it opens it, lends it out, notices when it dies, and closes it last of all.

What its callers may do together is decided at its gate, which is lent with the model. A caller waits there in its own
task: cancelling it needs no message, and no permit is lost in a mailbox.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import anyio.to_thread
import msgspec

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.kernel import Actor, ChildOptions, ChildSpec
from tinyllm_actors.llm.gate import Gate
from tinyllm_actors.llm.model import ChatModel
from tinyllm_actors.llm.registry import model_from_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tinyllm_actors.kernel import ActorRef, ActorSystem, ExitReason
    from tinyllm_actors.llm.embedding import EmbeddingModel
    from tinyllm_actors.llm.limits import Limits

__all__ = ["LEASE", "Lease", "ModelProvider", "open_provider"]


class _AskForLease(msgspec.Struct, frozen=True):
    """Asks a provider for its model."""


LEASE = _AskForLease()


class Lease(NamedTuple):
    """A model for one call, and the gate before it."""

    model: ChatModel
    gate: Gate


class _Limit(msgspec.Struct, frozen=True):
    """Asks a provider to hold its callers to limits."""

    limits: Any


class ModelProvider(Actor):
    """Owns one model, for every actor of the system that calls it.

    Args:
        model: a name, from which each incarnation makes a new model; or a model, opened again by each.
        options: for the adapter, if `model` is a name.
        gate: what its callers share; every incarnation has the same.
    """

    options = ChildOptions(shutdown=30.0)
    label: ClassVar[str] = ""

    def __init__(self, model: str | ChatModel | EmbeddingModel, options: Mapping[str, Any] | None, gate: Gate) -> None:
        self._source = model
        self._options = options
        self._gate = gate
        self._lease: Lease | None = None

    def make(self, name: str, options: Mapping[str, Any] | None) -> ChatModel | EmbeddingModel:
        """Return the model that a name stands for, not opened yet."""
        return model_from_name(name, options)

    async def started(self) -> None:
        """Make and open the model."""
        source = self._source
        if isinstance(source, str):
            # In a thread, as this may import an adapter, and with it a vendor's package.
            model = await anyio.to_thread.run_sync(self.make, source, self._options)
        else:
            model = source
        self._gate.attach(self.context.system, self.context.path, self.context.name)
        self._lease = Lease(cast("ChatModel", model), self._gate)
        await model.open()
        self.context.start_task(self._watch)

    async def _watch(self) -> None:
        """Fail when the model does, so that the supervisor starts it again."""
        assert self._lease is not None
        await self._lease.model.wait_failed()

    def receive(self, message: object) -> Lease | ConfigurationError | None:
        """Lend the model for one call, or take limits; what is wrong with them is the answer."""
        if message is LEASE:
            assert self._lease is not None
            return self._lease
        if isinstance(message, _Limit):
            return self._limit(message.limits)
        raise TypeError(f"a model provider answers LEASE only, not {type(message).__name__}")

    def _limit(self, limits: Limits) -> ConfigurationError | None:
        gate = self._gate
        if gate.limits is None:
            gate.configure(limits)
        elif gate.limits != limits:
            return ConfigurationError(
                f"{self.context.name!r} has {gate.limits!r} already, which all its callers share, so {limits!r} cannot "
                "hold too; give the same limits everywhere, or in one place only"
            )
        return None

    def machine_states(self) -> Mapping[str, str]:
        """Return the state of the circuit, for `system.inspect()`."""
        circuit = self._gate.circuit
        return {} if circuit is None else {"breaker": str(circuit)}

    async def stopped(self, reason: ExitReason) -> None:
        """Close the model."""
        try:
            if self._lease is not None:
                await self._lease.model.aclose()
        except AssertionError as error:  # a scripted model that was not used as its test says
            self.context.system.crash(error)


async def open_provider(
    system: ActorSystem,
    model: str | ChatModel | EmbeddingModel,
    options: Mapping[str, Any] | None = None,
    limits: Limits | None = None,
    *,
    kind: type[ModelProvider] = ModelProvider,
) -> ActorRef:
    """Return the provider of `model`, started on first use and shared by all who name the same model and options.

    Args:
        system: where it lives.
        model: a model or its name.
        options: for the adapter.
        limits: what its callers may do together; the first who has some sets them for all.
        kind: what owns it.

    Raises:
        ConfigurationError: somebody has set other limits.
        StartFailed: it did not start.
    """
    if isinstance(model, str):
        name, label = model, f"{model.replace('/', ':')}-{_fingerprint(options or {})}"
    else:
        name, label = model.name, f"{model.name.replace('/', ':')}-{id(model):x}"
    ref = await system.service(kind.label + label, ChildSpec(kind, model, options, Gate(name)))
    if limits is not None:
        error = await ref.ask(_Limit(limits))
        if error is not None:
            raise error
    return ref


def _fingerprint(options: Mapping[str, Any]) -> str:
    """Return a short digest of the options, which may hold keys and so cannot be shown."""
    items = sorted(options.items())
    encoded = msgspec.json.encode(items, enc_hook=lambda value: f"{type(value).__name__}@{id(value):x}")
    return hashlib.sha256(encoded).hexdigest()[:8]
