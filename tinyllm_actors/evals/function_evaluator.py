"""Plain functions as evaluators."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, cast

import anyio.to_thread

from tinyllm_actors.errors import ConfigurationError
from tinyllm_actors.evals.evaluator import Evaluator
from tinyllm_actors.kernel import ChildSpec

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FunctionEvaluator", "evaluator_spec"]

OFFERED = ("input", "output", "error", "expected", "trial")


class FunctionEvaluator(Evaluator):
    """Scores with a function, which gets those of `input`, `output`, `error`, `expected` and `trial` that it names.

    A coroutine function is awaited, a plain one runs in a worker thread. `evaluate` makes one of each function that
    it is given.

    ```python
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.evals import FunctionEvaluator
    >>> def shorter_than_ten(output):
    ...     return len(output) < 10
    >>> run(FunctionEvaluator.spec(shorter_than_ten), input={}, output="short", error=None)
    {'status': 'success', 'output': {'evals': {'shorter_than_ten': True}}}

    ```

    Args:
        function: returns a score, or a dictionary as `Evaluator.run` does.
        **options: of `Evaluator`.

    Raises:
        ConfigurationError: the function has an argument that is not offered.
    """

    def __init__(self, function: Callable[..., Any], **options: Any) -> None:
        label = getattr(function, "__name__", type(function).__name__)
        options.setdefault("name", label)
        super().__init__(**options)
        self._function = function
        self._wanted: list[str] = []
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name in OFFERED:
                self._wanted.append(parameter.name)
            elif parameter.kind is parameter.VAR_KEYWORD:
                self._wanted = list(OFFERED)
            elif parameter.default is parameter.empty and parameter.kind is not parameter.VAR_POSITIONAL:
                raise ConfigurationError(
                    f"evaluator {label!r} takes {parameter.name!r}; there are {', '.join(OFFERED)}, by these names"
                )

    async def run(self, input: Any, output: Any, error: Any) -> Any:
        """Call the function."""
        expected = None if self.trial is None else self.trial.example.expected
        offered = {"input": input, "output": output, "error": error, "expected": expected, "trial": self.trial}
        call = functools.partial(self._function, **{name: offered[name] for name in self._wanted})
        if inspect.iscoroutinefunction(self._function):
            answer: Any = await call()
        else:
            answer = await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
        return cast("Any", answer) if isinstance(answer, dict) else {"evals": {self.name: answer}}


def evaluator_spec(what: Any) -> ChildSpec:
    """Return the spec of an `Evaluator` for a spec, a class, or a function.

    Raises:
        TypeError: it is none of these.
    """
    spec: Any = what
    if isinstance(what, type):
        spec = cast("Any", what).spec() if issubclass(what, Evaluator) else None
    elif callable(what):
        name: str = getattr(what, "__name__", "") or what.__class__.__name__
        spec = FunctionEvaluator.spec(what).named(name)
    factory: object = getattr(spec, "factory", None)
    if not isinstance(spec, ChildSpec) or not (isinstance(factory, type) and issubclass(factory, Evaluator)):
        raise TypeError(f"cannot evaluate with {what!r}: give the spec or class of an Evaluator, or a function")
    return spec
