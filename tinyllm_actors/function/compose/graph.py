"""Functions that need one another's outputs, each run as soon as its inputs are there."""

from __future__ import annotations

import graphlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import anyio

from tinyllm_actors.function.compose.composite import Composite, composite_spec
from tinyllm_actors.function.compose.part import Part, check_source
from tinyllm_actors.function.compose.together import check_cap

if TYPE_CHECKING:
    from tinyllm_actors.function.compose.outlet import Outlet
    from tinyllm_actors.function.compose.part import Source
    from tinyllm_actors.function.result import Failure
    from tinyllm_actors.kernel import ChildSpec

__all__ = ["Graph", "Node", "graph", "node"]

CALL: Final = "input"
"""The name under which nodes find the arguments of the call."""


class Node:
    """A function of a graph and where its arguments come from. See `node`."""

    __slots__ = ("inputs", "source")

    def __init__(self, source: Source, inputs: Mapping[str, str]) -> None:
        self.source = source
        self.inputs = dict(inputs)

    def needs(self) -> set[str]:
        """Return the nodes whose outputs it takes."""
        return {origin.partition(".")[0] for origin in self.inputs.values()} - {CALL}

    def arguments(self, call: dict[str, Any], outputs: Mapping[str, Any]) -> dict[str, Any]:
        """Return what to call it with.

        Raises:
            LookupError: an output has no such field.
        """
        if not self.inputs:
            return dict(call)
        return {name: _take(origin, call, outputs) for name, origin in self.inputs.items()}


def _take(origin: str, call: dict[str, Any], outputs: Mapping[str, Any]) -> Any:
    name, _, field = origin.partition(".")
    value: Any = call if name == CALL else outputs[name]
    if not field or (value is None and name != CALL):  # an optional node that failed has no fields
        return value
    if isinstance(value, Mapping) and field in value:
        return cast("Mapping[str, Any]", value)[field]
    fields: list[Any] = list(cast("Mapping[Any, Any]", value)) if isinstance(value, Mapping) else []
    known = ", ".join(map(repr, fields)) or "none"
    raise LookupError(f"there is no {origin!r}: the fields of {name!r} are {known}")


def node(part: Any, **inputs: str) -> Node:
    """Return a node of a `graph`.

    Args:
        part: a Function spec or class, a callable, or a reference to a live Function.
        **inputs: for each argument where it comes from: `"other"` for the output of that node, `"other.field"` for
            one field of it, `"input.name"` for an argument of the call, `"input"` for all of them as a dictionary.
            Without any, the node gets the arguments of the call.

    Raises:
        TypeError: the part cannot be called, or an origin is no string.
    """
    for name, origin in inputs.items():
        if not isinstance(origin, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"argument {name!r} of a node comes from another node, named by a string, not {origin!r}")
    return Node(check_source(part), inputs)


def check_nodes(nodes: Mapping[str, Node]) -> list[str]:
    """Return the nodes whose outputs no other takes, if the nodes make a graph that can be run.

    Raises:
        ValueError: there is none, a name is taken, an origin does not exist, or nodes wait for one another.
    """
    if not nodes:
        raise ValueError("a graph needs at least one node")
    if CALL in nodes:
        raise ValueError(f"no node can be called {CALL!r}: that is the name of the call's arguments")
    for name, one in nodes.items():
        for unknown in sorted(one.needs() - nodes.keys()):
            known = ", ".join(map(repr, [CALL, *nodes]))
            raise ValueError(f"node {name!r} takes its input from {unknown!r}, which is not there; there are: {known}")
    try:
        graphlib.TopologicalSorter({name: one.needs() for name, one in nodes.items()}).prepare()
    except graphlib.CycleError as error:
        cycle = " → ".join(map(repr, cast("list[str]", error.args[1])))
        raise ValueError(f"these nodes wait for one another: {cycle}") from None
    taken = {need for one in nodes.values() for need in one.needs()}
    return [name for name in nodes if name not in taken]


class Graph(Composite):
    """Runs its nodes as soon as their inputs are there. See `graph`."""

    def __init__(
        self, nodes: Mapping[str, Node], output: str | None, max_concurrency: int | None, **options: Any
    ) -> None:
        super().__init__([], **options)
        ends = check_nodes(nodes)
        if output is not None and output not in nodes:
            raise ValueError(f"the output is that of {output!r}, which is not there; there are: {list(nodes)!r}")
        self._nodes = dict(nodes)
        self._ends = ends
        self._output = output
        self._cap = check_cap(max_concurrency) or len(nodes)
        self._sources = [(name, one.source) for name, one in nodes.items()]
        self._named: dict[str, Part] = {}

    async def started(self) -> None:
        """Start the nodes."""
        await super().started()
        self._named = {part.label: part for part in self.parts}

    async def flow(self, arguments: dict[str, Any], outlet: Outlet) -> Any:
        """Run each node when what it needs is done."""
        order = graphlib.TopologicalSorter({name: one.needs() for name, one in self._nodes.items()})
        order.prepare()
        outputs: dict[str, Any] = {}
        failures: list[Failure] = []
        errors: list[Exception] = []
        room = anyio.Semaphore(self._cap)

        async def run_one(name: str) -> None:
            part = self._named[name]
            async with room:
                try:
                    inputs = self._nodes[name].arguments(arguments, outputs)
                except LookupError as error:
                    errors.append(error)
                    group.cancel_scope.cancel()
                    return
                result = await part.call(inputs)
            if result["status"] == "error" and part.required:
                failures.append(part.failed(result))
                group.cancel_scope.cancel()
                return
            outputs[name] = result.get("output")
            order.done(name)
            start()

        def start() -> None:
            for name in order.get_ready():
                group.start_soon(run_one, name)

        async with anyio.create_task_group() as group:
            start()
        if errors:
            raise errors[0]
        if failures:
            raise self.give_up(failures[0])
        if self._output is not None:
            return outputs[self._output]
        return {name: outputs[name] for name in self._ends}


def graph(
    nodes: Mapping[str, Any],
    *,
    output: str | None = None,
    max_concurrency: int | None = None,
    name: str | None = None,
    **options: Any,
) -> ChildSpec:
    """Return the spec of a Function that runs `nodes`, each as soon as its inputs are there.

    ```python
    >>> from tinyllm_actors import run
    >>> from tinyllm_actors.function.compose import graph, node
    >>> async def words(text: str) -> int:
    ...     return len(text.split())
    >>> async def letters(text: str) -> int:
    ...     return len(text.replace(" ", ""))
    >>> async def report(words: int, letters: int) -> str:
    ...     return f"{letters / words:.1f} letters a word"
    >>> spec = graph({
    ...     "words": words,
    ...     "letters": letters,
    ...     "report": node(report, words="words", letters="letters"),
    ... })
    >>> run(spec, text="to be or not")
    {'status': 'success', 'output': {'report': '2.2 letters a word'}}

    ```

    When a node fails the others are cancelled; the output of one with `required=False` is None then.

    Args:
        nodes: by name: a `node`, or a part that gets the arguments of the call.
        output: the node whose output is that of the graph; None for a dictionary of all that no other node takes.
        max_concurrency: how many nodes run at the same time; None for all that can.
        name: what it is called.
        **options: of `Function`.

    Raises:
        TypeError: a part cannot be called.
        ValueError: an input is unknown, nodes wait for one another, or there is no node.
    """
    checked = {key: value if isinstance(value, Node) else node(value) for key, value in nodes.items()}
    return composite_spec(Graph, checked, output, max_concurrency, name=name, **options)
