"""Every public name of the kernel is explained by an example, which the run of the docstrings executes."""

from __future__ import annotations

import inspect

import pytest

from tinyllm_actors import kernel

# Constants have no docstring of their own: whose example shows them.
SHOWN_BY = {"BRUTAL_KILL": "ChildOptions", "LIFECYCLE": "Lifecycle"}


@pytest.mark.parametrize("name", kernel.__all__)
def test_each_public_name_has_an_example(name: str) -> None:
    """Whoever asks `help()` for a name sees it in use; the example names it, or is that of the class itself."""
    shown_by = SHOWN_BY.get(name, name)
    example = inspect.getdoc(getattr(kernel, shown_by)) or ""
    assert ">>> " in example, f"{shown_by} has no example in its docstring"
    assert name in example or shown_by == name


def test_the_public_names_are_sorted_and_exist() -> None:
    """`__all__` is complete for `from … import *` and in the order that ruff keeps."""
    assert len(set(kernel.__all__)) == len(kernel.__all__)
    assert all(hasattr(kernel, name) for name in kernel.__all__)
