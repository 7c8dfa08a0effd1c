"""Where the configuration file is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from tinyllm_actors.errors import ConfigurationError

__all__ = ["CONFIG_VARIABLE", "FILE_NAME", "find_config_file"]

CONFIG_VARIABLE: Final = "TINYLLM_CONFIG_PATH"
"""The environment variable that names the file, or the folder that it is in."""
FILE_NAME: Final = "tinyllm.yaml"


def find_config_file() -> Path | None:
    """Return the configuration file that holds here and now, if there is one. It looks at the disk.

    Raises:
        ConfigurationError: `TINYLLM_CONFIG_PATH` names a file that is not there.
    """
    if given := os.environ.get(CONFIG_VARIABLE):
        path = Path(given).expanduser()
        path = path / FILE_NAME if path.is_dir() else path
        if not path.is_file():
            raise ConfigurationError(f"{CONFIG_VARIABLE} names {given!r}, where there is no file; correct or unset it")
        return path
    folders = [Path()]
    home = Path(os.path.expanduser("~"))
    if home.is_absolute():
        folders += [home, home / "Documents"]
    return next((path.absolute() for folder in folders if (path := folder / FILE_NAME).is_file()), None)
