"""The thread that carries things to whoever may take their time."""

from __future__ import annotations

from tinyllm_actors.kernel import Courier


def test_one_that_got_nothing_ends_at_once() -> None:
    """Its first and last thing is the end: nothing is delivered, and what opens and closes is called once."""
    log: list[object] = []
    courier = Courier[str](
        lambda batch: log.append(list(batch)),
        name="test",
        before=lambda: log.append("before"),
        after=lambda: log.append("after"),
    )
    assert courier.close(timeout=5.0)
    assert log == ["before", "after"]
    assert not courier.put("late")
    assert courier.dropped == 1
