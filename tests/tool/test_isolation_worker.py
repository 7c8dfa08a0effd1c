"""The program of a tool's process, run in a thread of this one: what it says to its parent."""

from __future__ import annotations

import pickle
import resource
import socket
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import anyio
import msgspec
import pytest

from tinyllm_actors.errors import ToolRetry
from tinyllm_actors.tool import ToolContext
from tinyllm_actors.tool.isolation.reference import check_reference, find_function, load_main, main_source
from tinyllm_actors.tool.isolation.wire import LENGTH, Answer, Began, Done, Failed, Job, Report, frame, read_answer
from tinyllm_actors.tool.isolation.worker import Worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator
    from pathlib import Path


class _Unspeakable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def work(how: str, context: ToolContext) -> object:
    """Do what a tool does."""
    context.report({1, 2} if how == "set" else "half")
    if how == "cycle":
        cycle: list[Any] = []
        cycle.append(cycle)
        context.report(cycle)
        return cycle
    errors: dict[str, BaseException] = {
        "value": ValueError("no luck"),
        "key": KeyError("name"),
        "memory": MemoryError(),
        "retry": ToolRetry("again"),
        "exit": SystemExit(2),
        "unspeakable": _Unspeakable(),
    }
    if how in errors:
        raise errors[how]
    results = {"text": "done", "bytes": b"\xff", "json": {"a": (1, 2.5)}, "long": "x" * 2**26}
    return results.get(how, context.deadline)


async def items() -> AsyncIterator[int]:
    """Count, on a loop."""
    await anyio.lowlevel.checkpoint()
    yield 1


@contextmanager
def worker(lost: list[bool]) -> Generator[Callable[[Job], list[Answer]]]:
    """Run a worker; calling what this yields gives its answers to one job."""
    ours, theirs = socket.socketpair()
    serving = threading.Thread(target=Worker(theirs, lambda: lost.append(True)).serve)
    serving.start()

    def receive(count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += ours.recv(count - len(data))
        return data

    def ask(job: Job) -> list[Answer]:
        ours.sendall(frame(job))
        answers: list[Answer] = []
        while not answers or isinstance(answers[-1], Began | Report):
            (length,) = LENGTH.unpack(receive(LENGTH.size))
            answers.append(read_answer(receive(length)))
        return answers

    try:
        yield ask
    finally:
        ours.close()
        serving.join(10)
        theirs.close()


def job(how: str = "", name: str = "work", kind: Literal["sync", "async_generator"] = "sync", **fields: Any) -> Job:
    """Return a call of `work`."""
    usual: dict[str, Any] = {
        "main": None,
        "module": __name__,
        "injected": ("context",) if name == "work" else (),
        "context": {"call_id": "a"},
        "seconds": None,
        "memory": None,
        "cpu": None,
        "arguments": pickle.dumps({"how": how} if name == "work" else {}),
    }
    return Job(**{**usual, **fields}, name=name, kind=kind)


def test_answers_are_plain() -> None:
    """Text and bytes come as they are, the rest as JSON, what JSON cannot say as text; then the parent goes."""
    lost: list[bool] = []
    with worker(lost) as ask:
        assert ask(job("text")) == [Began(), Report(b'"half"'), Done("text", b"done")]
        assert ask(job("bytes"))[-1] == Done("bytes", b"\xff")
        assert ask(job("json"))[-1] == Done("json", b'{"a":[1,2.5]}')
        assert ask(job("cycle"))[2:] == [Report(b'"[[...]]"'), Done("text", b"[[...]]")]
        assert ask(job("set"))[1] == Report(b"[1,2]")
        assert ask(job("deadline"))[-1] == Done("json", b"null")
        deadline = ask(job("deadline", seconds=5.0))[-1]
        assert isinstance(deadline, Done)
        assert float(deadline.data) > 0
        assert ask(job(name="items", kind="async_generator"))[1:] == [Report(b"1"), Done("json", b"1")]
        assert not lost
    assert lost == [True]


def test_failures_are_told() -> None:
    """Each with its class, its message, its traceback, and whether the process can go on."""
    with worker([]) as ask:
        for how, kind, type_name, message, spoilt in [
            ("value", "error", "ValueError", "no luck", False),
            ("key", "error", "KeyError", "name", False),
            ("memory", "error", "MemoryError", "", True),
            ("retry", "retry", "ToolRetry", "again", False),
            ("exit", "exit", "SystemExit", "2", False),
            ("unspeakable", "error", "_Unspeakable", "<_Unspeakable that cannot be shown>", False),
        ]:
            failed = ask(job(how))[-1]
            assert isinstance(failed, Failed)
            assert (failed.kind, failed.type_name, failed.message, failed.spoilt) == (kind, type_name, message, spoilt)
            assert "in work" in failed.trace or how == "unspeakable"
        failed = ask(job("long"))[-1]
        assert isinstance(failed, Failed)
        assert "cannot cross" in failed.message
        failed = ask(job(name="nobody"))[-1]
        assert isinstance(failed, Failed)
        assert failed.type_name == "AttributeError"


def test_limits_hold_for_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call sets its own: what limited this one is lifted."""
    set_to: list[tuple[int, tuple[int, int]]] = []
    hard = resource.RLIM_INFINITY

    def get(which: int) -> tuple[int, int]:
        return 1, hard

    def put(which: int, limits: tuple[int, int]) -> None:
        set_to.append((which, limits))

    monkeypatch.setattr(resource, "getrlimit", get)
    monkeypatch.setattr(resource, "setrlimit", put)
    with worker([]) as ask:
        ask(job("text", memory=2**29, cpu=1.5))
        ask(job("text"))
    assert set_to[0] == (resource.RLIMIT_AS, (2**29, hard))
    assert set_to[1][0] == resource.RLIMIT_CPU
    assert set_to[1][1][0] >= 2
    assert set_to[2:] == [(resource.RLIMIT_AS, (hard, hard)), (resource.RLIMIT_CPU, (hard, hard))]


def test_nonsense_is_no_answer() -> None:
    """What is no message of this protocol is refused."""
    with pytest.raises(msgspec.DecodeError):
        read_answer(b"junk")


def test_the_main_module_is_loaded_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Under a name that keeps its program from starting; functions of it are found there."""
    script = tmp_path / "script.py"
    script.write_text("times = [__name__]\ndef f(): return times\nclass C:\n    @staticmethod\n    def g(): return 1\n")
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setitem(sys.modules, "__mp_main__", sys)
    monkeypatch.delitem(sys.modules, "__mp_main__")
    load_main(("path", str(script)))
    load_main(("path", "/nowhere"))
    assert find_function("__main__", "f")() == ["__mp_main__"]
    assert find_function("__main__", "C.g")() == 1
    del sys.modules["__main__"].__file__
    assert main_source() is None
    function = find_function("__main__", "f")
    function.__module__ = "__main__"
    with pytest.raises(ValueError, match="the main module has no file"):
        check_reference("f", function)


def test_how_the_main_module_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its module if it was started with -m, or else by its file."""
    main: Any = type(sys)("__main__")
    monkeypatch.setitem(sys.modules, "__main__", main)
    main.__spec__ = type("Spec", (), {"name": "package.__main__"})
    assert main_source() == ("module", "package.__main__")
    main.__spec__ = None
    main.__file__ = __file__
    assert main_source() == ("path", __file__)
