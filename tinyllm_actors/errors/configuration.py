"""What cannot be set up as it was asked for. See the package for the whole tree."""

from __future__ import annotations

from tinyllm_actors.errors.base import TinyLLMError

__all__ = [
    "ConfigurationError",
    "DatasetInvalid",
    "MissingCredential",
    "MissingDependency",
    "UnknownModel",
    "UnknownPrice",
    "UnknownPrompt",
    "UnknownSetting",
    "UnknownStore",
]


class ConfigurationError(TinyLLMError, ValueError):
    """What was asked for cannot be set up as it was written."""


class UnknownModel(ConfigurationError):
    """No adapter knows that model name."""


class UnknownStore(ConfigurationError):
    """No adapter knows that store URL."""


class UnknownPrompt(ConfigurationError, LookupError):
    """No source has that prompt, or that version or label of it.

    Attributes:
        name: of the prompt.
        version: that was asked for; None for the newest.
        label: that was asked for.
    """

    def __init__(self, name: str, version: int | None, label: str | None, why: str) -> None:
        which = "" if version is None else f" in version {version}"
        if label is not None:
            which = f" with label {label!r}"
        super().__init__(f"no prompt {name!r}{which}: {why}")
        self.name = name
        self.version = version
        self.label = label


class MissingCredential(ConfigurationError):
    """A key that the provider needs is not set."""


class MissingDependency(ConfigurationError, ImportError):
    """An optional package is not installed; the message holds the command that installs it."""


class UnknownSetting(ConfigurationError):
    """The configuration file has a key that means nothing; the message names the nearest one that does.

    Attributes:
        key: as it is written, with its section.
        nearest: the known key that is most like it, if one is.
    """

    def __init__(self, key: str, file: str, nearest: str | None = None) -> None:
        hint = f"did you mean {nearest!r}?" if nearest else "`tinyllm-actors config show` lists the known ones"
        super().__init__(f"{file}: {key!r} means nothing here; {hint}")
        self.key = key
        self.nearest = nearest


class DatasetInvalid(ConfigurationError):
    """A line of a dataset, or of the results of a run, cannot be used.

    Attributes:
        source: the file, or what stands for it.
        line: which line, counted from 1; None if it is the whole.
    """

    def __init__(self, source: str, line: int | None, problem: str) -> None:
        place = source if line is None else f"{source}, line {line}"
        super().__init__(f"{place}: {problem}")
        self.source = source
        self.line = line


class UnknownPrice(ConfigurationError):
    """A budget limits dollars, and the price of the model is not known, which is not zero.

    Attributes:
        model: its name.
        budget: the name of the budget.
    """

    def __init__(self, model: str, budget: str) -> None:
        super().__init__(
            f"budget {budget!r} limits dollars and the price of model {model!r} is unknown; give it with "
            "known_models={name: ModelInfo(price=Price(…))}, or give the budget an assumed_price"
        )
        self.model = model
        self.budget = budget
