"""Evaluations as tests: `@pytest.mark.eval` on a function that returns the target.

```python
@pytest.mark.eval("cases.jsonl", evaluators=[ExactMatch], thresholds={"exact_match": 0.8})
def test_capitals():
    return Agent.spec(model="openai/gpt-4o-mini")
```

| argument | what it is |
|---|---|
| `dataset` | a file of JSON lines, relative to the test's own; a `Dataset`; or examples |
| `evaluators` | specs or classes of evaluators, and functions |
| `thresholds` | what scores have to reach: `{"exact_match": 0.8, "latency": "<=2", "quality": "low>=0.7"}` |
| `max_errors` | calls and evaluations that may fail; 0 |
| `confidence` | of the intervals; 0.95 |
| `backend` | `"asyncio"`, `"uvloop"` or `"trio"` |
| others | as `tinyllm_actors.evals.evaluate` takes them |

The function is a plain one and may use fixtures. The means become properties of the test, which pytest writes into
`--junit-xml`; `--eval-report=FOLDER` writes a page and the records of each such test there.

pytest loads this module in every run where the library is installed. It imports nothing of the library until a test
has the mark.
"""

from __future__ import annotations

import pytest

__all__ = ["pytest_addoption", "pytest_configure", "pytest_pyfunc_call"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option for the folder of reports."""
    group = parser.getgroup("tinyllm_actors", "evaluations")
    group.addoption("--eval-report", metavar="FOLDER", help="write a page and the records of each evaluation there")


def pytest_configure(config: pytest.Config) -> None:
    """Say what the mark is."""
    config.addinivalue_line(
        "markers", "eval(dataset, *, evaluators, thresholds={}, max_errors=0, …): evaluate the target that it returns"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that has the mark."""
    marker = pyfuncitem.get_closest_marker("eval")
    if marker is None:
        return None
    from tinyllm_actors.evals.marked_test import run_marked_test

    run_marked_test(pyfuncitem, marker)
    return True
