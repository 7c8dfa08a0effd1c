"""Functions made of Functions. Each combinator returns the spec of one more Function, so they nest.

| | what it does |
|---|---|
| `chain` | one after the other |
| `concurrent` | several at once, on the same arguments |
| `map_each` | one on each item of a list |
| `race` | several at once, the first success counts |
| `fallback` | the next when one fails |
| `retry` | again, when a failure may pass |
| `timeout` | so many seconds for each call |
| `cache` | an answer once, and then from memory or disk |
| `branch` | one or another, by the arguments |
| `graph` | each as soon as its inputs are there |

A part is a Function's spec or class, a callable, or a reference to a live Function or to a pool of Functions. A
composite starts, supervises and stops the parts that it is given as specs, classes or callables; references it only
uses. A mapping becomes keyword arguments, anything else the argument `input`. An error keeps what its part said of it
and names the part, as in `"fetch/parse: no such user"`. Cancelling a composite, or its deadline, reaches every part.

A composite, as every Function, handles one call at a time (but for `cache`). For more at once, spawn a `Pool` of it.
"""

from tinyllm_actors.function.compose.branch import branch
from tinyllm_actors.function.compose.cache import Forget, cache
from tinyllm_actors.function.compose.chain import chain
from tinyllm_actors.function.compose.concurrent import concurrent
from tinyllm_actors.function.compose.fallback import fallback
from tinyllm_actors.function.compose.graph import graph, node
from tinyllm_actors.function.compose.map_each import map_each
from tinyllm_actors.function.compose.race import race
from tinyllm_actors.function.compose.retry import retry
from tinyllm_actors.function.compose.timeout import timeout

__all__ = [
    "Forget",
    "branch",
    "cache",
    "chain",
    "concurrent",
    "fallback",
    "graph",
    "map_each",
    "node",
    "race",
    "retry",
    "timeout",
]
