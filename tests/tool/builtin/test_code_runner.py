"""The program that runs code, in parts: what it does where the system allows little."""

from __future__ import annotations

import os
import resource
import signal
from typing import TYPE_CHECKING, Any, Self

import pytest

from tinyllm_actors.tool.builtin import code_runner
from tinyllm_actors.tool.builtin.code_runner import NO_SANDBOX, enter_namespaces, limit, main, run_code

if TYPE_CHECKING:
    from pathlib import Path


class _Libc:
    """A C library whose calls do nothing and answer what they are told to."""

    def __init__(self, **answers: int) -> None:
        self.answers = answers
        self.called: list[str] = []

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: object) -> int:
            self.called.append(name)
            return self.answers.get(name, 0)

        return call


SETTINGS: dict[str, Any] = {
    "sandbox": True,
    "required": True,
    "probe": False,
    "memory": 2**29,
    "cpu": 3,
    "alarm": 100,
    "file_bytes": 2**20,
    "tmpfs_bytes": 2**20,
    "processes": 5,
}


@pytest.mark.parametrize(
    ("code", "status", "output"),
    [
        ("1 + 1", 0, "2\n"),
        ("print('a')", 0, "a\n"),
        ("x = 1", 0, ""),
        ("", 0, ""),
        ("__name__", 0, "__main__\n"),
        ("raise SystemExit", 0, ""),
        ("raise SystemExit(4)", 4, ""),
        ("raise SystemExit('bye')", 1, ""),
    ],
)
def test_the_last_value_is_shown(capsys: pytest.CaptureFixture[str], code: str, status: int, output: str) -> None:
    """Unless it is None; the exit status is the program's."""
    assert run_code(code) == status
    assert capsys.readouterr().out == output


def test_a_failure_shows_the_place_in_the_code(capsys: pytest.CaptureFixture[str]) -> None:
    """And not this program's."""
    assert run_code("def f():\n    return [][0]\nf()") == 1
    told = capsys.readouterr().err
    assert told.splitlines()[1] == '  File "<code>", line 3, in <module>'
    assert "code_runner" not in told


def test_nothing_is_claimed_that_does_not_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without namespaces nothing, without mounts no protection of files."""
    written: list[str] = []

    class File:
        def __enter__(self) -> Self:
            return self

        def __exit__(self, *error: object) -> None:
            return

        def write(self, text: str) -> None:
            written.append(text)

    def accept(path: str, mode: str) -> File:
        return File()

    def refuse(path: str, mode: str) -> File:
        raise PermissionError(path)

    assert enter_namespaces(_Libc(unshare=-1), "/x", 1) == []
    monkeypatch.setattr(code_runner, "open", accept, raising=False)
    assert enter_namespaces(_Libc(syscall=-1), "/x", 1) == ["network", "processes"]
    assert enter_namespaces(_Libc(mount=-1), "/x", 1) == ["network", "processes"]
    assert enter_namespaces(_Libc(), "/x", 1) == ["network", "processes", "files"]
    assert written[:3] == ["deny", f"{os.geteuid()} {os.geteuid()} 1", f"{os.getegid()} {os.getegid()} 1"]
    monkeypatch.setattr(code_runner, "open", refuse, raising=False)
    assert enter_namespaces(_Libc(), "/x", 1) == []


def test_limits_are_final(monkeypatch: pytest.MonkeyPatch) -> None:
    """Soft and hard alike, never above what there is; the number of processes only where it is counted apart."""
    given: dict[int, tuple[int, int]] = {}

    def put(which: int, limits: tuple[int, int]) -> None:
        given[which] = limits

    hard = {resource.RLIMIT_CPU: 2}

    def get(which: int) -> tuple[int, int]:
        return 0, hard.get(which, resource.RLIM_INFINITY)

    monkeypatch.setattr(resource, "setrlimit", put)
    monkeypatch.setattr(resource, "getrlimit", get)
    limit(SETTINGS, alone=False)
    assert given[resource.RLIMIT_AS] == (2**29, 2**29)
    assert given[resource.RLIMIT_CPU] == (2, 2)
    assert resource.RLIMIT_NPROC not in given
    limit(SETTINGS, alone=True)
    assert given[resource.RLIMIT_NPROC] == (5, 5)


def test_the_whole_program(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """It tells what holds, refuses where that is too little, and else gives up its rights before the code runs."""
    alarms: list[int] = []
    libc = _Libc(unshare=-1)
    monkeypatch.setattr(signal, "alarm", alarms.append)
    monkeypatch.setattr(code_runner, "_libc", lambda: libc)
    settings = {**SETTINGS, "directory": str(tmp_path)}
    assert main({**settings, "probe": True}, "") == 0
    assert main(settings, "print('never')") == NO_SANDBOX
    assert capsys.readouterr().out == "[]no sandbox on this system"

    class Exit(BaseException):
        pass

    def leave(status: int) -> None:
        raise Exit(status)

    def nothing(settings: dict[str, Any], *, alone: bool) -> None:
        limited.append(alone)

    def held(*arguments: object) -> list[str]:
        return ["network", "processes", "files"]

    limited: list[bool] = []
    monkeypatch.setattr(os, "_exit", leave)
    monkeypatch.setattr(os, "fork", lambda: 0)
    monkeypatch.setattr(code_runner, "limit", nothing)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exit, match="3"):
        main({**settings, "required": False}, "raise SystemExit(3)")
    libc.called.clear()
    monkeypatch.setattr(code_runner, "enter_namespaces", held)
    with pytest.raises(Exit, match="0"):
        main(settings, "1")
    assert libc.called == ["prctl", "mount", "prctl", "prctl", "capset"]
    assert limited == [False, True]
    # The two that wait: the first in the parent's processes, the second as the init of the new ones.
    ended = [(7, 0), (1, 11)]
    monkeypatch.setattr(os, "wait", ended.pop)
    monkeypatch.setattr(os, "fork", lambda: 1)
    assert main(settings, "1") == 128 + 11
    forks, waits = [1, 0], [(7, 0), (1, 3 << 8)]
    monkeypatch.setattr(os, "fork", forks.pop)
    monkeypatch.setattr(os, "wait", lambda: waits.pop(0))
    with pytest.raises(Exit, match="3"):
        main(settings, "1")
    assert alarms == [100] * 6
