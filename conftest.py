"""What every docstring example runs under; the tests have their own conftest."""

from __future__ import annotations

import importlib.util
import logging
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _quiet_examples(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keep log lines, which have the time of day in them, out of what an example prints."""
    if not isinstance(request.node, pytest.DoctestItem) or importlib.util.find_spec("structlog") is None:
        yield
        return
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()
