"""Deliberate breaks of the kernel, at least one for each of its numbered rules, and the tests that must notice them.

`python tests/mutations/test_mutants.py` applies those of `mutants.toml` one by one to a copy of the package, runs the
tests named beside each, and prints a table. Its exit status is 1 when one survives or cannot be applied. It takes a
few minutes, so the test suite only checks that the table fits the source; run it after changes to the kernel. Numbers
of rules as arguments select.

A mutant is: `rule`, which it breaks; `file`, in `tinyllm_actors/kernel`; `text`, which occurs there once, and its
`replacement`; `test`, the files below `tests` of which one must fail.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
RULES: Final = range(1, 22)
SECONDS: Final = 40.0
"""How long the tests of a mutant may take; when they hang they have noticed."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A break; see above."""

    rule: int
    file: str
    text: str
    replacement: str
    test: str

    def applied_to(self, source: str) -> str:
        """Return the broken source.

        Raises:
            LookupError: the text is not there, or more than once.
        """
        found = source.count(self.text)
        if found != 1:
            raise LookupError(f"{self.file} has this text {found} times, not once: {self.text!r}")
        return source.replace(self.text, self.replacement)


MUTANTS: Final = [Mutant(**entry) for entry in tomllib.loads((HERE / "mutants.toml").read_text("utf-8"))["mutant"]]


def kernel() -> Path:
    """Return where the kernel's source is."""
    spec = importlib.util.find_spec("tinyllm_actors.kernel")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def test_each_mutant_can_be_applied() -> None:
    """Its text is in the source, once, the broken source can be compiled, and its tests exist."""
    for mutant in MUTANTS:
        path = kernel() / mutant.file
        compile(mutant.applied_to(path.read_text("utf-8")), path, "exec")
        for name in mutant.test.split():
            assert (HERE.parent / name).is_file()


def test_each_rule_has_a_mutant() -> None:
    """A rule that nothing breaks is tested by chance."""
    assert {mutant.rule for mutant in MUTANTS} == set(RULES)


# --- run by hand ----------------------------------------------------------------------------------


def passes(tree: Path, tests: list[str], seconds: float | None = SECONDS) -> bool | None:
    """Run tests in a copy; None if they hang."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        *(f"tests/{test}" for test in tests),
    ]
    # Bytecode is off: a mutant may have the size, and within a second the time, of the source before it.
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1", "HYPOTHESIS_PROFILE": "quick"}
    with subprocess.Popen(
        command, cwd=tree, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            return process.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            return None


def outcome(tree: Path, mutant: Mutant) -> str:
    """Break the copy, run the tests, and mend it."""
    path = tree / "tinyllm_actors" / "kernel" / mutant.file
    source = path.read_text("utf-8")
    try:
        path.write_text(mutant.applied_to(source), "utf-8")
        passed = passes(tree, mutant.test.split())
    except LookupError:
        return "NOT APPLIED"
    finally:
        path.write_text(source, "utf-8")
    return {True: "SURVIVED", False: "caught", None: "caught (hangs)"}[passed]


def main(rules: set[int]) -> int:
    """Run the mutants of some rules, of all if none is named; return the exit status."""
    chosen = [mutant for mutant in MUTANTS if not rules or mutant.rule in rules]
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        shutil.copytree(kernel().parent, tree / "tinyllm_actors", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(HERE.parent, tree / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(HERE.parent.parent / "pyproject.toml", tree)
        tests = sorted({test for mutant in chosen for test in mutant.test.split()})
        if not passes(tree, tests, None):
            print("these tests fail without a mutant:", *tests)
            return 1
        bad = 0
        print(f"{'rule':>4}  {'file':16} {'outcome':14} {'s':>5}  what is replaced")
        for mutant in chosen:
            begin = time.monotonic()
            word = outcome(tree, mutant)
            bad += not word.startswith("caught")
            first = next(line.strip() for line in mutant.text.splitlines() if line.strip())
            seconds = time.monotonic() - begin
            print(f"{mutant.rule:4}  {mutant.file:16} {word:14} {seconds:5.1f}  {first}", flush=True)
    print(f"{len(chosen) - bad} of {len(chosen)} mutants caught")
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main({int(rule) for rule in sys.argv[1:]}))
