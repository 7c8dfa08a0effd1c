"""Cancellations, whatever they come in."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from tinyllm_actors.kernel import (
    Supervisor,
)
from tinyllm_actors.kernel.failure import without_cancellation
from tinyllm_actors.kernel.slots import current_backend

if TYPE_CHECKING:
    pass
pytestmark = pytest.mark.anyio

PATIENT = Supervisor(max_restarts=100, backoff=None)


async def test_a_cancellation_in_groups_is_one_cancellation() -> None:
    """However deep; with an error beside it the error counts."""
    cancelled: BaseException = LookupError("it was not cancelled")
    with anyio.CancelScope() as scope:
        scope.cancel()
        try:
            await anyio.sleep(1)
        except anyio.get_cancelled_exc_class() as caught:
            cancelled = caught
            raise
    nested = BaseExceptionGroup("two", [BaseExceptionGroup("one", [cancelled])])
    assert without_cancellation(nested) is cancelled
    error = LookupError("broken")
    assert without_cancellation(BaseExceptionGroup("both", [nested, error])) is error


async def test_what_was_set_before_is_not_waited_for() -> None:
    """A slot may be set before anybody waits, and twice."""
    slot = current_backend().new_slot()
    slot.set()
    slot.set()
    with anyio.fail_after(30):
        await slot
