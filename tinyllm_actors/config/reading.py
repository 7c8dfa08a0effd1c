"""Read the configuration file: a small YAML file that is not trusted with anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from tinyllm_actors.config.names import SECTIONS, check_provider_name, nearest
from tinyllm_actors.errors import ConfigurationError, MissingDependency, UnknownSetting

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["read_sections"]

MAX_BYTES: Final = 256 * 1024


def read_sections(path: Path) -> dict[str, dict[str, Any]]:
    """Return the sections of a configuration file, whose keys are known and whose values are single ones.

    Empty values are left out. No message holds a value.

    Raises:
        ConfigurationError: it cannot be read, is no YAML, or has another form.
        UnknownSetting: a section or a key means nothing.
        MissingDependency: PyYAML is not installed.
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingDependency(
            f"{str(path)!r} needs PyYAML to be read; install it: pip install 'tinyllm_actors[config]'"
        ) from error
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigurationError(f"{str(path)!r} cannot be read: {error.strerror}") from error
    if len(content) > MAX_BYTES:
        raise ConfigurationError(f"{str(path)!r} has more than {MAX_BYTES} bytes, which is no configuration file")
    try:
        # Its nodes and not its values: aliases cannot make much of little, and a key that is there twice is seen.
        compose = cast("Callable[[bytes, object], object]", yaml.compose)  # pyright: ignore[reportUnknownMemberType]
        root = compose(content, yaml.SafeLoader)
        whole = _mapping(root, path, "the file")
        return {name: _section(name, node, path) for name, node in whole.items()}
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        mark = getattr(error, "problem_mark", None)
        place = "" if mark is None else f" at line {mark.line + 1}, column {mark.column + 1}"
        # Without its text and its cause, which quote the line.
        raise ConfigurationError(f"{str(path)!r} is no YAML{place}: {getattr(error, 'problem', None) or '?'}") from None


def _mapping(node: Any, path: Path, what: str) -> dict[str, Any]:
    import yaml

    if node is None or (isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:null"):
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise ConfigurationError(f"{str(path)!r}: {what} must hold keys and values, such as 'LLM_PROVIDERS:'")
    found: dict[str, Any] = {}
    for key, value in cast("list[tuple[Any, Any]]", node.value):
        if not isinstance(key, yaml.ScalarNode):
            raise ConfigurationError(f"{str(path)!r}: a key of {what} is no text, at line {key.start_mark.line + 1}")
        name = str(key.value)
        if name in found:
            raise ConfigurationError(f"{str(path)!r}: {name!r} is there twice, at line {key.start_mark.line + 1}")
        found[name] = value
    return found


def _section(name: str, node: Any, path: Path) -> dict[str, Any]:
    import yaml

    if name not in SECTIONS:
        keys = {key: section for section, names in SECTIONS.items() for key in names}
        near = nearest(name, [*SECTIONS, *keys])
        raise UnknownSetting(name, str(path), f"{keys[near]}.{near}" if near in keys else near)
    found: dict[str, Any] = {}
    for key, value in _mapping(node, path, repr(name)).items():
        if name == "LLM_PROVIDERS":
            check_provider_name(key, str(path))
        elif key not in SECTIONS[name]:
            near = nearest(key, SECTIONS[name])
            raise UnknownSetting(f"{name}.{key}", str(path), near and f"{name}.{near}")
        if not isinstance(value, yaml.ScalarNode):
            raise ConfigurationError(f"{str(path)!r}: '{name}.{key}' must be a single value")
        # As it is written: a key of digits is no number, and one that reads "no" is no truth value.
        if value.tag != "tag:yaml.org,2002:null" and str(value.value).strip():
            found[key] = str(value.value)
    return found
