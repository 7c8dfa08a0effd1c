"""`tinyllm-actors config`: whether `tinyllm.yaml` is right, and what holds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tinyllm_actors.cli.plain import printable
from tinyllm_actors.config import CONFIG_VARIABLE, FILE_NAME, find_config_file, load_settings
from tinyllm_actors.config.names import SECTIONS, is_secret_setting, variable_of
from tinyllm_actors.config.reading import read_sections
from tinyllm_actors.kernel.redaction import MASK, redact

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check", "show"]


def _where(file: str | None) -> Path | None:
    return Path(file) if file is not None else find_config_file()


def check(file: str | None) -> int:
    """Print whether the file can be used; return the exit code.

    Raises:
        ConfigurationError: it cannot.
    """
    path = _where(file)
    load_settings(path)
    if path is None:
        print(f"There is no {FILE_NAME}, and need not be. It may be here, at home, in Documents, or {CONFIG_VARIABLE}.")
        return 0
    count = sum(map(len, read_sections(path).values()))
    print(f"{path} is right: {count} values.")
    if path.stat().st_mode & 0o077:
        print(f"Other users of this machine can read it, secrets included: chmod 600 {path}")
    return 0


def show(file: str | None) -> int:
    """Print every key that has a value, with secrets masked; return the exit code.

    Raises:
        ConfigurationError: the file cannot be used.
    """
    path = _where(file)
    load_settings(path)
    print(f"file: {path or 'none'}")
    for section, lines in _lines(path).items():
        print(f"{section}:")
        for line in lines or ["  (nothing)"]:
            print(printable(line))
    return 0


def _lines(path: Path | None) -> dict[str, list[str]]:
    written = {} if path is None else read_sections(path)
    found: dict[str, list[str]] = {}
    for section, known in SECTIONS.items():
        values = written.get(section, {})
        found[section] = [
            f"  {key}: {MASK if is_secret_setting(key) else redact(value)}  ({source})"
            for key in dict.fromkeys((*known, *values))
            for value, source in _effective(variable_of(section, key), values.get(key))
        ]
    return found


def _effective(variable: str, written: str | None) -> Iterator[tuple[str, str]]:
    held = os.environ.get(variable)
    if held:
        yield held, f"from the environment, {variable}" + ("; the file has another" if written else "")
    elif written:
        yield written, "from the file"
