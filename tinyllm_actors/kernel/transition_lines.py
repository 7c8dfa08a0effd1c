"""A transition as a line of JSON, made of parts of which nearly all return again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from tinyllm_actors.kernel.plain import to_plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextvars import ContextVar

    from tinyllm_actors.kernel.event_stream import Moves
    from tinyllm_actors.kernel.events import Transition

__all__ = ["TransitionLines"]

BOUND: Final = "structlog_"
"""What structlog puts before the names of the context variables that it binds."""

MAX_KEPT: Final = 4096
"""Parts of a kind that are kept. A service has some hundred moves, and may have a million actors."""

SECOND: Final = 1_000_000_000
"""In nanoseconds."""

_OWN: Final = frozenset(
    (
        "event",
        "level",
        "logger",
        "timestamp",
        "actor",
        "machine",
        "source",
        "trigger",
        "target",
        "message_id",
        "elapsed",
    )
)


class TransitionLines:
    """Makes the lines. What a move is called is encoded once, and so is who made it; only numbers are new each time.

    Args:
        encode: makes JSON of plain data.
    """

    __slots__ = ("_bounds", "_encode", "_heads", "_look_through_context", "_now", "_paths", "_single", "_variables")

    def __init__(self, encode: Callable[[Any], bytes]) -> None:
        self._encode = encode
        # By the identity of moves and states: states may be enum members, whose hash takes a call. An entry keeps them
        # alive, so that no other object can come to have their identity.
        self._heads: dict[tuple[str, str, int], tuple[str, str, list[tuple[str, str]], Moves]] = {}
        self._single: dict[tuple[int, int, int], Moves] = {}
        self._paths: dict[str, str] = {}
        self._bounds: dict[tuple[tuple[str, Any], ...], str] = {}
        self._now = (0, "0")  # a whole second, in nanoseconds, and how it is written in seconds
        from structlog import contextvars  # whoever writes lines has imported structlog, or is about to

        # All variables that structlog ever bound, where it keeps them. Without them all variables of the context would
        # have to be looked through for each line, which takes a third of it, though nothing may ever be bound.
        self._variables: dict[str, ContextVar[Any]] | None = getattr(contextvars, "_CONTEXT_VARS", None)
        self._look_through_context = contextvars.get_contextvars

    def line(self, event: Transition, nanoseconds: int) -> str:
        """Return the line of one transition; see `lines`."""
        path, name, machine, source, trigger, target, message_id, elapsed = event
        edge = (id(source), id(trigger), id(target))
        moves = self._single.get(edge)
        if moves is None:
            if len(self._single) >= MAX_KEPT:
                self._single.clear()
            moves = self._single[edge] = ((source, trigger, target),)
        return self.lines(path, name, machine, moves, message_id, elapsed, nanoseconds)

    def lines(
        self, path: str, name: str, machine: str, moves: Moves, message_id: int, elapsed: float, nanoseconds: int
    ) -> str:
        """Return lines, with their ends and with what is bound in the current context.

        Args:
            path: whose machine.
            name: how the actor is called.
            machine: which.
            moves: made at one moment, as `EventStream.publish_moves` has them.
            message_id: the message in processing.
            elapsed: seconds before the first.
            nanoseconds: since the epoch; a line has whole microseconds, in seconds. Python writes all digits of a
                `float`, most of which mean nothing, in twice the time of the rest.
        """
        heads = self._heads.get((name, machine, id(moves)))
        if heads is None:
            heads = self._new_heads(name, machine, moves)
        actor = self._paths.get(path)
        if actor is None:
            actor = self._new_path(path)
        second, seconds = self._now
        if not 0 <= nanoseconds - second < SECOND:
            second = nanoseconds - nanoseconds % SECOND
            seconds = str(second // SECOND)
            self._now = (second, seconds)  # in one, as other threads may log too
        more = ""
        bound = self._bound_now() if self._variables != {} else None
        if bound:
            if not _OWN.isdisjoint(bound):
                return self._unusual(path, name, machine, moves, message_id, elapsed, nanoseconds, bound)
            more = self._bound_fields(bound)
        # Whole numbers are written in a third of the time of others.
        stamp = f'{seconds}.{(nanoseconds - second) // 1000:06d},"actor":{actor}'
        taken = f"0.{int(elapsed * 1e6 + 0.5):06d}" if 0.0 <= elapsed < 0.9999 else f"{elapsed:.6f}"
        head, moved, others, _ = heads
        text = f'{head}{stamp}{moved}{message_id},"elapsed":{taken}{more}}}\n'
        if others:
            end = f'{message_id},"elapsed":0.000000{more}}}\n'
            for head, moved in others:
                text += f"{head}{stamp}{moved}{end}"
        return text

    def _new_heads(self, name: str, machine: str, moves: Moves) -> tuple[str, str, list[tuple[str, str]], Moves]:
        """Return what comes before the time and after the path, of the first move and of the others."""
        found: list[tuple[str, str]] = []
        for source, trigger, target in moves:
            head = self._fields(_head(name, machine, target))
            moved = {"machine": machine, "source": source, "trigger": trigger, "target": target}
            found.append((f'{{{head},"timestamp":', f',{self._fields(moved)},"message_id":'))
        if len(self._heads) >= MAX_KEPT:
            self._heads.clear()
        self._heads[name, machine, id(moves)] = heads = (*found[0], found[1:], moves)
        return heads

    def _new_path(self, path: str) -> str:
        if len(self._paths) >= MAX_KEPT:
            self._paths.clear()
        self._paths[path] = found = self._encode(path).decode()
        return found

    def _bound_now(self) -> dict[str, Any]:
        """Return what is bound in the current context, by name."""
        if self._variables is None:
            return self._look_through_context()
        # A copy, as other threads may bind something new meanwhile.
        values = [(name, variable.get()) for name, variable in [*self._variables.items()]]
        return {name[len(BOUND) :]: value for name, value in values if value is not ...}

    def _bound_fields(self, bound: dict[str, Any]) -> str:
        key = tuple(bound.items())
        texts = all(type(value) is str for value in bound.values())  # 1, 1.0 and True are equal, and not the same
        found = self._bounds.get(key) if texts else None
        if found is None:
            found = f",{self._fields(to_plain(bound))}"
            if texts:
                if len(self._bounds) >= MAX_KEPT:
                    self._bounds.clear()
                self._bounds[key] = found
        return found

    def _unusual(
        self,
        path: str,
        name: str,
        machine: str,
        moves: Moves,
        message_id: int,
        elapsed: float,
        nanoseconds: int,
        bound: dict[str, Any],
    ) -> str:
        """Return the lines where something is bound by the name of a field, which it takes the place of."""
        text = ""
        for source, trigger, target in moves:
            line = {
                **_head(name, machine, target),
                "timestamp": nanoseconds // 1000 / 1e6,
                "actor": path,
                "machine": machine,
                "source": source,
                "trigger": trigger,
                "target": target,
                "message_id": message_id,
                "elapsed": round(elapsed, 6),
                **to_plain(bound),
            }
            text += f"{{{self._fields(line)}}}\n"
            elapsed = 0.0
        return text

    def _fields(self, fields: dict[str, Any]) -> str:
        return self._encode(fields)[1:-1].decode()


def _head(name: str, machine: str, target: str) -> dict[str, Any]:
    lifecycle = machine == "lifecycle"
    return {
        "event": f"[{name}] transition to: {target}",
        "level": "debug" if lifecycle else "info",
        "logger": "tinyllm_actors.kernel" if lifecycle else f"tinyllm_actors.{machine}",
    }
