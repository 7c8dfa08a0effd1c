"""Kill the process at each step of a conversation, let it go on, and compare; run as a program of its own.

    python crash_driver.py STORE [--backend asyncio|uvloop|trio] [--writes-only] [--mutate NAME] [--soak KILLS]

STORE is a URL; each run puts a name of its own where it has `{}`. Every step (each call of the store, the model and a
tool, before and after) is a point. For each point, a forked child runs the conversation and kills itself there; a
second child goes on to the end. What must hold then:

- every acknowledged turn is there once, and has an answer;
- a tool that may not run twice ran once at most, and what it answered was not lost if it had been recorded;
- a tool that may run twice got the same key each time;
- the model was asked once more than in a run without a kill, at most;
- the history is valid, and differs from that of a run without a kill in interrupted calls only.

`--writes-only` leaves out the points in the model and the tools, at which no store differs from another. `--mutate`
breaks the runtime on purpose, which must be noticed; it ends with the first point at which it is. `--soak` kills at
random moments instead, with hundreds of conversations at work; SIGTERM ends it with the audit.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from tinyllm_actors import ActorSystem, Agent, tool
from tinyllm_actors.conversation import INTERRUPTED, Compaction, TurnStarted, activation, repair, store_from_url, writer
from tinyllm_actors.conversation.recorder import Recorder
from tinyllm_actors.llm import (
    AssistantMessage,
    ChatModel,
    Completed,
    Completion,
    FunctionCall,
    ToolCall,
    ToolMessage,
    Usage,
    UserMessage,
)
from tinyllm_actors.tool import ToolContext

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable

    from tinyllm_actors.kernel import ChildSpec
    from tinyllm_actors.llm import ChatRequest

TURNS = ("book a room", "say goodbye")


class Points:
    """Counts the steps of a run, and ends the process at one of them."""

    def __init__(self, kill_at: int | None, log: Path) -> None:
        self.count = 0
        self.writes: list[int] = []
        self._kill_at = kill_at
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def step(self, *, write: bool = False) -> None:
        self.count += 1
        if write:
            self.writes.append(self.count)
        if self.count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def note(self, *what: object) -> None:
        """Keep a line, whatever happens to the process."""
        os.write(self._log, (json.dumps(what) + "\n").encode())


class Thinker(ChatModel):
    """Decides by what was said: two calls for each question, then an answer that depends on their results."""

    name = "thinker"

    def __init__(self, points: Points) -> None:
        self._points = points

    async def complete(self, request: ChatRequest) -> Completion:
        self._points.step()
        self._points.note("asked")
        await anyio.lowlevel.checkpoint()
        self._points.step()
        return Completion(self._answer(request), model=self.name, usage=Usage(1, 1, 2))

    @asynccontextmanager
    async def stream(self, request: ChatRequest) -> AsyncGenerator[AsyncIterator[Any]]:
        async def events() -> AsyncIterator[Any]:
            yield Completed(await self.complete(request))

        yield events()

    @staticmethod
    def _answer(request: ChatRequest) -> AssistantMessage:
        last = request.messages[-1]
        if isinstance(last, ToolMessage):
            return AssistantMessage(f"done with {last.name}")
        assert isinstance(last, UserMessage)
        number = sum(isinstance(message, UserMessage) for message in request.messages)
        names = ("charge", "look", "store")
        calls = [ToolCall(f"c{number}_{name}", FunctionCall(name, json.dumps({"n": number}))) for name in names]
        return AssistantMessage(tool_calls=calls)


class _Now:
    """The points of the run in progress; the tools are made once, before the first fork."""

    points: Points


async def _effect(name: str, n: int, context: ToolContext) -> str:
    points = _Now.points
    points.step()
    points.note("began", name, n, context.idempotency_key)
    await anyio.lowlevel.checkpoint()
    points.note("ended", name, n)
    points.step()
    return f"{name} {n}"


@tool
async def charge(n: int, context: ToolContext) -> str:
    """Charge."""
    return await _effect("charge", n, context)


@tool(idempotent=True)
async def look(n: int, context: ToolContext) -> str:
    """Look."""
    return await _effect("look", n, context)


@tool(idempotent=True, sequential=True)
async def store(n: int, context: ToolContext) -> str:
    """Store."""
    return await _effect("store", n, context)


def make_agent(points: Points) -> ChildSpec:
    """Return the agent of a run."""
    _Now.points = points
    return Agent.spec(model=Thinker(points), tools=[charge, look, store])


def watch_store(kept: Any, points: Points) -> None:
    """Make each write a point, before and after."""
    append = kept.append

    @functools.wraps(append)
    async def watched(batch: Any) -> None:
        points.step(write=True)
        await append(batch)
        points.step(write=True)

    kept.append = watched


async def converse(url: str, points: Points, key: str, turns: tuple[str, ...]) -> list[Any]:
    """Take all turns, sending again those that were sent before, and return the history."""
    kept = store_from_url(url)
    watch_store(kept, points)
    async with ActorSystem("crash") as system:
        chats = await system.conversations(make_agent(points), store=kept, recover=False)
        chat = chats[key]
        for number, content in enumerate(turns):
            async with chat.stream(content, turn_id=f"t{number}") as events:
                async for event in events:
                    if type(event).__name__ == "TurnAccepted":
                        points.note("acknowledged", number)
                    elif type(event).__name__ == "RunFinished":
                        assert event.result["status"] == "success", event.result
                        points.note("answered", number)
        return list(await chat.history())


# --- breaking it ------------------------------------------------------------------------------------


def acknowledge_early() -> None:
    """Take entries in before they are stored."""
    pending: list[Any] = []

    async def early(self: Any, entries: list[Any]) -> None:
        if len(pending) >= 2:
            batch, pending[:] = [*pending], []
            for held in batch:
                await self._journal.append(self.grant, held)
        pending.append(entries)

    writer.Writer._store = early  # pyright: ignore[reportPrivateUsage]


def journal_late() -> None:
    """Record that a call is about to be made only when it has ended."""
    held: list[Any] = []
    thought, happened = Recorder.thought, Recorder.happened

    async def late_thought(self: Any, completion: Any, intents: Any, asked: Any) -> None:
        held.extend(intents)
        await thought(self, completion, (), asked)

    async def late_happened(self: Any, outcomes: Any) -> None:
        ended = {outcome.call_id for outcome in outcomes}
        await self.intended([request for request in held if request.call_id in ended])
        await happened(self, outcomes)

    Recorder.thought = late_thought
    Recorder.happened = late_happened


MUTATIONS = {"acknowledge_early": acknowledge_early, "journal_late": journal_late}


# --- forking ----------------------------------------------------------------------------------------


def say(line: str) -> None:
    """Write a line for whoever runs this."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def in_child(function: Callable[[], Any]) -> tuple[int, Any]:
    """Run a function in a forked child; return the signal that ended it, and what it returned."""
    reader, writer_end = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        code = 1
        try:
            os.write(writer_end, json.dumps(function()).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writer_end)
    with os.fdopen(reader, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status), None
    if os.WEXITSTATUS(status):
        raise SystemExit("a child failed; its traceback is above")
    return 0, json.loads(said)


def loop_of(backend: str) -> dict[str, Any]:
    """Return what `anyio.run` wants to know of an event loop."""
    if backend == "uvloop":
        return {"backend": "asyncio", "backend_options": {"use_uvloop": True}}
    return {"backend": backend}


def run(backend: str, pattern: str, kill_at: int | None, log: Path) -> Any:
    """Have one conversation, under the name of its log. Returns its history, the points, and those of the store."""
    points = Points(kill_at, log)
    history = anyio.run(converse, pattern.format(log.name), points, log.name, TURNS, **loop_of(backend))
    valid = repair(history) == history
    return [[type(message).__name__, message.content] for message in history], points.count, points.writes, valid


def notes(log: Path) -> list[list[Any]]:
    """Return what a run, and the one that went on, have noted."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def violations(expected: list[Any], history: list[Any], valid: bool, lines: list[list[Any]], asked: int) -> list[str]:
    """Return what does not hold."""
    found = [f"{have} instead of {want}" for have, want in zip(history, expected, strict=False) if not_as(have, want)]
    interrupted = sum(message[1] == INTERRUPTED for message in history)
    made = sum(line[:2] == ["ended", "charge"] for line in lines)
    said = [message[1] for message in history if message[0] == "UserMessage"]
    acknowledged: set[str] = {TURNS[line[1]] for line in lines if line[0] == "acknowledged"}
    checks = {
        "the history is not valid": valid,
        "the history has lost or gained messages": len(history) == len(expected),
        "a call was neither made nor interrupted": made + interrupted >= len(TURNS),
        "one kill interrupted several calls": interrupted <= 1,
        "an acknowledged turn is lost or there twice": all(said.count(turn) == 1 for turn in acknowledged),
        "the model was asked again for what it had answered": sum(line[0] == "asked" for line in lines) <= asked + 1,
    }
    found += [promise for promise, kept in checks.items() if not kept]
    began: dict[tuple[str, int], list[str]] = {}
    for line in lines:
        if line[0] == "began":
            began.setdefault((line[1], line[2]), []).append(line[3])
    for (name, n), keys in began.items():
        if (name == "charge" and len(keys) > 1) or len(set(keys)) > 1 or not keys[0]:
            found.append(f"{name} {n} ran under the keys {keys}")
    return found


def not_as(have: list[Any], want: list[Any]) -> bool:
    """Whether a message is neither as in a run without a kill nor an interrupted call."""
    return have != want and have != [want[0], INTERRUPTED]


def exhaust(backend: str, pattern: str, folder: Path, *, writes_only: bool, first_only: bool) -> int:
    """Kill at every point. Returns how many points broke a promise."""
    log = folder / "whole"
    _, (expected, count, writes, valid) = in_child(lambda: run(backend, pattern, None, log))
    points: list[int] = writes if writes_only else list(range(1, count + 1))
    assert valid
    assert points, "nothing was done: is there something in the store from an earlier run?"
    asked = sum(line[0] == "asked" for line in notes(log))
    broken = 0
    for point in points:
        log = folder / f"p{point}"
        killed, _ = in_child(lambda log=log, point=point: run(backend, pattern, point, log))
        assert killed == signal.SIGKILL, f"point {point} was not reached"
        try:
            _, (history, _, _, valid) = in_child(lambda log=log: run(backend, pattern, None, log))
            found = violations(expected, history, valid, notes(log), asked)
        except SystemExit as error:
            found = [str(error)]
        if found:
            broken += 1
            say(f"killed at point {point}: {'; '.join(found)}")
            if first_only:
                break
    say(f"{len(points)} points, {broken} of them broken ({backend}, {pattern.partition(':')[0]})")
    return broken


# --- the soak ---------------------------------------------------------------------------------------


async def busy(url: str, log: Path, conversations: int, start: int) -> None:
    """Let conversations take turn after turn, for ever."""
    points = Points(None, log)
    async with ActorSystem("soak") as system:
        # Kept short: otherwise each life would take longer to begin than the one before.
        compaction = Compaction(max_tokens=1000)
        chats = await system.conversations(make_agent(points), store=url, compaction=compaction, snapshot_every=50)

        async def talk(key: int) -> None:
            for number in itertools.count(start):
                turn = f"{number}"
                async with chats[f"k{key}"].stream(f"turn {turn}", turn_id=turn) as events:
                    async for event in events:
                        if type(event).__name__ == "TurnAccepted":
                            points.note("acknowledged", key, turn)

        async with anyio.create_task_group() as group:
            for key in range(conversations):
                group.start_soon(talk, key)


async def audit(url: str, conversations: int) -> list[tuple[list[str], bool]]:
    """Return, for each conversation, the turns that it knows and whether its history is valid."""
    kept = store_from_url(url)
    found: list[tuple[list[str], bool]] = []
    async with kept:
        for key in range(conversations):
            turns: list[str] = []
            after = 0
            while page := await kept.page(f"k{key}", after=after, limit=1000):
                entries = [record.entry() for record in page]
                turns += [entry.turn_id for entry in entries if isinstance(entry, TurnStarted)]
                after = page[-1].sequence
            found.append((turns, len(turns) == len(set(turns))))
    return found


def soak(backend: str, pattern: str, folder: Path, kills: int, conversations: int) -> int:
    """Kill at random moments, again and again. Returns how many promises were broken."""
    url, log = pattern.format("soak"), folder / "soak"
    log.touch()
    seed = random.Random(0)
    enough: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: enough.append(number))
    for kill in range(kills):
        if enough:
            kills = kill
            break
        child = os.fork()
        if child == 0:
            try:
                anyio.run(busy, url, log, conversations, kill * 1000, **loop_of(backend))
            finally:
                os._exit(1)
        # After so many notes, so that each life gets somewhere, however slow the machine is; each ends in the middle.
        grow = log.stat().st_size + 60 * seed.randint(1, conversations)
        until = time.monotonic() + 30.0
        while log.stat().st_size < grow and time.monotonic() < until:
            time.sleep(0.005)
        if os.waitpid(child, os.WNOHANG) != (0, 0):
            raise SystemExit("a child ended by itself; its traceback is above")
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if kill % 100 == 99:
            say(f"{kill + 1} kills, {len(notes(log))} notes")
    _, found = in_child(lambda: anyio.run(audit, url, conversations, **loop_of(backend)))
    lines = notes(log)
    broken = sum(not single for _, single in found)
    acknowledged = {(line[1], line[2]) for line in lines if line[0] == "acknowledged"}
    known = [set(turns) for turns, _ in found]
    lost = sum(turn not in known[key] for key, turn in acknowledged)
    charged: dict[str, int] = {}
    for line in lines:
        if line[0] == "began" and line[1] == "charge":
            charged[line[3]] = charged.get(line[3], 0) + 1
    twice = sum(count > 1 for count in charged.values())
    say(
        f"{kills} kills, {conversations} conversations, {len(acknowledged)} turns acknowledged, {lost} lost, "
        f"{broken} conversations with a turn twice, {len(charged)} charges, {twice} of them twice ({backend})"
    )
    return lost + broken + twice


def main() -> None:
    """Do what the command line says; exit with 1 if a promise was broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--backend", default="asyncio")
    parser.add_argument("--mutate", choices=sorted(MUTATIONS))
    parser.add_argument("--writes-only", action="store_true")
    parser.add_argument("--soak", type=int, default=0)
    parser.add_argument("--conversations", type=int, default=200)
    given = parser.parse_args()
    # What all children need is imported before the first fork; trio takes longer than a conversation does.
    store_from_url(given.store.format("warm"))
    anyio.run(anyio.lowlevel.checkpoint, **loop_of(given.backend))
    if given.mutate:
        MUTATIONS[given.mutate]()
    with tempfile.TemporaryDirectory() as folder:
        if given.soak:
            broken = soak(given.backend, given.store, Path(folder), given.soak, given.conversations)
        else:
            activation.RIDE = 3600.0  # so that each run has the same points, however slow the machine is
            broken = exhaust(
                given.backend,
                given.store,
                Path(folder),
                writes_only=given.writes_only,
                first_only=given.mutate is not None,
            )
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
