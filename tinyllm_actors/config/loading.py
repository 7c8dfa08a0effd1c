"""Load the configuration, typed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tinyllm_actors.config.reading import read_sections
from tinyllm_actors.config.search import find_config_file
from tinyllm_actors.errors import ConfigurationError, MissingDependency

if TYPE_CHECKING:
    import os

    from tinyllm_actors.config.settings import Settings

__all__ = ["load_settings"]


def load_settings(path: str | os.PathLike[str] | None = None) -> Settings:
    r"""Return what is configured: the file, and the environment over it. It reads the disk.

    ```python
    >>> import pathlib, tempfile
    >>> from tinyllm_actors.config import load_settings
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "tinyllm.yaml")
    ...     _ = file.write_text("POSTGRES:\n  HOST: db.example\n  PASSWORD: hunter2\n")
    ...     settings = load_settings(file)
    >>> settings.postgres.host, settings.postgres.password
    ('db.example', SecretStr('**********'))

    ```

    Args:
        path: the file; left out, the one that is found (see the package), if any.

    Raises:
        ConfigurationError: the file cannot be used, or a value does not fit; no message holds a value.
        MissingDependency: a package is not installed.
    """
    found = find_config_file() if path is None else Path(path)
    sections = {} if found is None else read_sections(found)
    try:
        from tinyllm_actors.config.settings import Settings
    except ImportError as error:
        raise MissingDependency(
            "typed settings need pydantic-settings; install it: pip install 'tinyllm_actors[config]'"
        ) from error
    from pydantic import ValidationError

    try:
        return Settings(**sections)  # pyright: ignore[reportArgumentType] - what validates it is pydantic
    except ValidationError as error:
        told = "; ".join(
            f"'{'.'.join(map(str, entry['loc']))}': {entry['msg']}"
            for entry in error.errors(include_url=False, include_context=False, include_input=False)
        )
        raise ConfigurationError(f"{str(found or 'the environment')!r}: {told}") from None
