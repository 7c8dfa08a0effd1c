"""The next Function when one fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinyllm_actors.function.compose.composite import Composite, composite_spec, sources_of
from tinyllm_actors.function.compose.failures import all_failed

if TYPE_CHECKING:
    from tinyllm_actors.function.compose.outlet import Outlet
    from tinyllm_actors.function.result import Failure
    from tinyllm_actors.kernel import ChildSpec

__all__ = ["Fallback", "fallback"]


class Fallback(Composite):
    """Calls its parts in order until one succeeds. See `fallback`."""

    async def flow(self, arguments: dict[str, Any], outlet: Outlet) -> Any:
        """Try one part after the other."""
        failures: list[Failure] = []
        for part in self.parts:
            attempt = outlet.fork()
            result = await part.answer(dict(arguments), attempt)
            if result["status"] == "success":
                await outlet.adopt(attempt)
                return result["output"]
            failures.append(part.failed(result))
            if attempt.started:  # the reader has a part of this answer: another one cannot be joined to it
                raise self.give_up(failures[-1])
        raise self.give_up(all_failed(failures))


def fallback(*parts: Any, name: str | None = None, **options: Any) -> ChildSpec:
    """Return the spec of a Function that calls the next of `parts` when one fails, whatever the failure.

    If all fail, the error names each; its kind is that of the last. In a stream the next part takes over only while
    no output was delivered.

    ```python
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.function.compose import fallback
    >>> async def remote(text: str) -> str:
    ...     raise ConnectionError("refused")
    >>> async def local(text: str) -> str:
    ...     return text.upper()
    >>> run(fallback(remote, local), text="hello")
    {'status': 'success', 'output': 'HELLO'}

    ```

    Args:
        parts: Function specs or classes, callables, or references to live Functions, the preferred one first.
        name: what it is called.
        **options: of `Function`.

    Raises:
        TypeError: a part cannot be called.
        ValueError: there is no part.
    """
    return composite_spec(Fallback, sources_of(parts, "a fallback"), name=name, **options)
