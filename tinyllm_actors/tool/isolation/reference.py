"""How another process finds a function: by the module and the name under which it can be imported."""

from __future__ import annotations

import importlib
import inspect
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from tinyllm_actors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["check_reference", "find_function", "load_main", "main_source"]

_ALIAS = "__mp_main__"
"""What a script is called in another process, so that it does not start; `multiprocessing` says the same."""


def check_reference(tool: str, function: Callable[..., object]) -> None:
    """Refuse a function that no other process can find.

    Raises:
        ConfigurationError: it has no place in a module.
    """
    name: str = getattr(function, "__qualname__", "")
    why = None
    if not inspect.isfunction(function):
        why = "it is a method or an object"
    elif "<" in name:
        why = f"{name!r} is defined inside a function" if "<locals>" in name else "a lambda has no name"
    elif function.__module__ == "__main__" and main_source() is None:
        why = "the main module has no file"
    if why is not None:
        raise ConfigurationError(
            f"tool {tool!r} cannot have isolate=: another process could not import it, as {why}; define it with def in"
            " a module"
        )


def main_source() -> tuple[str, str] | None:
    """Return how the main module is loaded: as `("module", name)` or `("path", file)`; None if it cannot be."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name:
        return "module", spec.name
    file: str | None = getattr(main, "__file__", None)
    return None if file is None or not Path(file).exists() else ("path", str(Path(file).resolve()))


def load_main(source: tuple[str, str]) -> None:
    """Load the main module of the process that sends the work, once, without starting its program."""
    if _ALIAS in sys.modules:
        return
    import runpy

    kind, name = source
    module = types.ModuleType(_ALIAS)
    # Before it runs, so that what it defines can refer to it.
    sys.modules[_ALIAS] = sys.modules["__main__"] = module
    run = runpy.run_module if kind == "module" else runpy.run_path
    module.__dict__.update(run(name, run_name=_ALIAS))


def find_function(module: str, name: str) -> Callable[..., Any]:
    """Return the function, or that of the tool, that has this name.

    Raises:
        ImportError: there is no such module.
        AttributeError: there is nothing of that name in it.
    """
    found: Any = sys.modules[module] if module == "__main__" else importlib.import_module(module)
    for part in name.split("."):
        found = inspect.getattr_static(found, part)
    if isinstance(found, staticmethod):
        found = cast("staticmethod[..., Any]", found).__func__
    from tinyllm_actors.tool.definition import Tool  # not needed by those that only check

    while isinstance(found, Tool):
        found = cast("Tool[..., Any]", found).function
    return found
