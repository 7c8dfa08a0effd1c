"""Numbers: of calls, as observations end, and of the system, as it is looked at."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import anyio

from tinyllm_actors.integrations.opentelemetry.conventions import model_attributes, operation_of
from tinyllm_actors.kernel import ChildFailed, ChildRestarted, DeadLetter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from opentelemetry.metrics import CallbackOptions, Meter
    from opentelemetry.metrics import Observation as Measured

    from tinyllm_actors.function.tracing import Observation
    from tinyllm_actors.kernel import ActorSystem

__all__ = ["CallMetrics", "SystemNumbers"]

# The boundaries that the conventions ask for.
_SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS: Final = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)


class CallMetrics:
    """Counts calls.

    Args:
        meter: what makes instruments.
    """

    def __init__(self, meter: Meter) -> None:
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage", "{token}", "Tokens of a call", explicit_bucket_boundaries_advisory=_TOKENS
        )
        self._operations = meter.create_histogram(
            "gen_ai.client.operation.duration", "s", "GenAI calls", explicit_bucket_boundaries_advisory=_SECONDS
        )
        self._first = meter.create_histogram(
            "gen_ai.server.time_to_first_token", "s", "First output", explicit_bucket_boundaries_advisory=_SECONDS
        )
        self._calls = meter.create_histogram(
            "tinyllm_actors.call.duration", "s", "All calls", explicit_bucket_boundaries_advisory=_SECONDS
        )
        self._cost = meter.create_counter("tinyllm_actors.cost", "USD", "What model calls cost")

    def count(self, observation: Observation) -> None:
        """Count a call that has ended."""
        about = {"name": observation.name, "kind": observation.kind, "status": observation.status}
        self._calls.record(observation.seconds, about)
        if operation_of(observation) is None:
            return
        attributes = model_attributes(observation)
        self._operations.record(observation.seconds, attributes)
        if observation.kind == "generation" and observation.first_output_at:
            self._first.record((observation.first_output_at - observation.started_at) / 1e9, attributes)
        for kind in ("input", "output"):
            if kind in observation.usage:
                self._tokens.record(observation.usage[kind], {**attributes, "gen_ai.token.type": kind})
        if observation.cost:
            self._cost.add(observation.cost, attributes)


class SystemNumbers:
    """What is known of the system itself: written on its event loop, read by the exporter's thread."""

    def __init__(self) -> None:
        self.depths: dict[str, int] = {}
        self.actors: dict[str, int] = {}
        self.restarts = 0
        self.failures: Counter[str] = Counter()
        self.dead_letters: Counter[str] = Counter()

    async def watch(self, system: ActorSystem, period: float) -> None:
        """Count events as they come, and look at the whole tree every `period` seconds, until cancelled."""
        events = system.events_stream
        events.subscribe(self._note, ChildRestarted, ChildFailed, DeadLetter)
        try:
            while True:
                self._look(system)
                await anyio.sleep(period)
        finally:
            events.unsubscribe(self._note)

    def _note(self, event: ChildRestarted | ChildFailed | DeadLetter) -> None:
        if isinstance(event, ChildRestarted):
            self.restarts += 1
        elif isinstance(event, ChildFailed):
            self.failures[type(event.cause).__name__] += 1
        else:
            self.dead_letters[event.reason] += 1

    def _look(self, system: ActorSystem) -> None:
        depths: Counter[str] = Counter()
        actors: Counter[str] = Counter()
        for node in system.inspect().walk():
            depths[node.actor] += node.depth
            actors[node.actor] += 1
        self.depths, self.actors = dict(depths), dict(actors)

    def register(self, meter: Meter) -> None:
        """Make the instruments that read it."""
        from opentelemetry.metrics import Observation as Measured

        def reading(read: Callable[[], dict[str, int]], label: str) -> Callable[[CallbackOptions], Iterable[Measured]]:
            return lambda _: [Measured(value, {label: key}) for key, value in read().items()]

        gauges: list[tuple[str, str, Any]] = [
            ("tinyllm_actors.mailbox.depth", "{message}", lambda: self.depths),
            ("tinyllm_actors.actors", "{actor}", lambda: self.actors),
        ]
        for name, unit, read in gauges:
            meter.create_observable_gauge(name, [reading(read, "actor.class")], unit)
        counters: list[tuple[str, str, str, Any]] = [
            ("tinyllm_actors.failures", "{failure}", "error.type", lambda: dict(self.failures)),
            ("tinyllm_actors.dead_letters", "{message}", "reason", lambda: dict(self.dead_letters)),
        ]
        for name, unit, label, read in counters:
            meter.create_observable_counter(name, [reading(read, label)], unit)
        meter.create_observable_counter("tinyllm_actors.restarts", [lambda _: [Measured(self.restarts)]], "{restart}")
