"""What a user can import, what that costs, and what the error tree says of itself."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest

import tinyllm_actors
from tinyllm_actors import errors

HEAVY = {"aiohttp", "asyncpg", "httpx", "langfuse", "litellm", "numpy", "openai", "trio"}
"""Imported by whoever uses them, and not before. (rich is not here: structlog imports it where it is installed.)"""

BUSY = 2.0
"""How much slower the same work is, in CPU time, while other tests run on the neighbouring core."""


def _imported_by(code: str) -> set[str]:
    """Return the top-level modules that a new interpreter holds after it ran `code`."""
    program = f"{code}\nimport json, sys\nprint(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return set(json.loads(done.stdout))


def _measured(code: str) -> tuple[float, float]:
    """Return the CPU seconds and the MiB of resident memory that `code` adds to a new interpreter, at best of five."""
    program = (
        "import resource, time\n"
        "def usage():\n"
        "    with open('/proc/self/statm') as statm:\n"
        "        return time.process_time(), int(statm.read().split()[1]) * resource.getpagesize() / 2**20\n"
        f"before = usage()\n{code}\nafter = usage()\n"
        "print(after[0] - before[0], after[1] - before[1])"
    )
    command = [sys.executable, "-c", program]
    with tempfile.TemporaryDirectory() as cache:  # the first run compiles the modules, the others find them compiled
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": cache}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        runs = [subprocess.run(command, capture_output=True, text=True, check=True, env=environment) for _ in range(5)]
    lines = [run.stdout.split() for run in runs]
    return min(float(line[0]) for line in lines), min(float(line[1]) for line in lines)


def test_all_is_sorted_and_without_repetition() -> None:
    """`__all__` reads like an index."""
    assert tinyllm_actors.__all__ == sorted(set(tinyllm_actors.__all__))


def test_type_checkers_see_what_runs() -> None:
    """The imports that type checkers see have the names of `__all__`, from the modules that they come from."""
    source = Path(tinyllm_actors.__file__).read_text(encoding="utf-8")
    seen = {
        alias.name: node.module
        for block in ast.parse(source).body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == tinyllm_actors._HOME  # pyright: ignore[reportPrivateUsage]
    assert sorted(seen) == tinyllm_actors.__all__


@pytest.mark.parametrize("name", tinyllm_actors.__all__)
def test_public_names_resolve(name: str) -> None:
    """Each public name is there, is listed by `dir`, is no module, and is public where it comes from."""
    value = getattr(tinyllm_actors, name)
    assert not isinstance(value, ModuleType)
    assert name in dir(tinyllm_actors)
    home = sys.modules[tinyllm_actors._HOME[name]]  # pyright: ignore[reportPrivateUsage]
    assert name in home.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name that does not exist is named in the error."""
    with pytest.raises(AttributeError, match="'Aktor'"):
        _ = tinyllm_actors.Aktor  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownVariableType]


def test_sub_packages_do_not_hide_public_names() -> None:
    """`tool` stays the decorator, whether the sub-package of that name is imported before or after."""
    _imported_by("import tinyllm_actors.tool, tinyllm_actors; assert callable(tinyllm_actors.tool)")
    _imported_by("from tinyllm_actors import tool; import tinyllm_actors.tool; assert tinyllm_actors.tool is tool")


def test_the_package_alone_imports_nothing() -> None:
    """`import tinyllm_actors` imports no third-party package, not even those it needs."""
    added = _imported_by("import tinyllm_actors") - _imported_by("")
    assert added <= {"tinyllm_actors"} | sys.stdlib_module_names


def test_the_main_names_import_no_vendor() -> None:
    """What most programs import brings in no vendor, no second event loop and no HTTP client."""
    assert not _imported_by("from tinyllm_actors import ActorSystem, Agent, BufferMemory, run, tool") & HEAVY


def test_imports_are_cheap() -> None:
    """The package costs at most 50 ms of CPU, its main names at most 150 ms and 30 MiB, on an idle machine."""
    seconds, _ = _measured("import tinyllm_actors")
    assert seconds <= 0.050 * BUSY
    seconds, mebibytes = _measured("from tinyllm_actors import ActorSystem, Agent")
    assert seconds <= 0.150 * BUSY
    assert mebibytes <= 30


def _drawn_errors() -> dict[str, tuple[str | None, str]]:
    """Return the tree at the top of `errors`: the parent and the text of each class."""
    block = re.search(r"```text\n(.*?)```", errors.__doc__ or "", re.DOTALL)
    assert block is not None
    drawn: dict[str, tuple[str | None, str]] = {}
    above: list[str] = []
    for line in block[1].splitlines():
        found = re.fullmatch(r"(?P<branches>[│├└─ ]*)(?P<name>\w+)(?P<text>.*)", line)
        assert found is not None, line
        depth = len(found["branches"]) // 4
        above[depth:] = [found["name"]]
        drawn[found["name"]] = (above[depth - 1] if depth else None, found["text"])
    return drawn


def test_the_drawn_error_tree_is_the_real_one() -> None:
    """The tree at the top of `errors` has each public class, under its first base."""
    real: dict[str, str | None] = {
        name: None if name == "TinyLLMError" else getattr(errors, name).__bases__[0].__name__ for name in errors.__all__
    }
    assert {name: parent for name, (parent, _) in _drawn_errors().items()} == real


def test_second_bases_are_as_drawn() -> None:
    """Where the tree says that an error is also a built-in one, `except` catches it as that."""
    also = {name: re.findall(r"also an? (\w+)", text) for name, (_, text) in _drawn_errors().items()}
    assert any(also.values())
    for name, bases in also.items():
        for base in bases:
            assert base in {cls.__name__ for cls in getattr(errors, name).__mro__}


def test_every_error_is_public() -> None:
    """`errors` has no exception that its `__all__` leaves out, and lists them in order."""
    defined = {name for name, value in vars(errors).items() if getattr(value, "__module__", "") == errors.__name__}
    assert defined == set(errors.__all__)
    assert errors.__all__ == sorted(errors.__all__)
