"""What a parent knows of its children."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.supervision import Supervision

__all__ = ["Family"]


class Family:
    """The part of a cell that only a parent needs.

    Attributes:
        children: by `Cell.name`, in start order.
        room: how many children there may be; 0 until somebody looks.
        has_numbered_names: a child was given a name that could be one of the made ones.
        supervision: made when a child first ends by itself, or somebody looks.
    """

    __slots__ = ("children", "has_numbered_names", "room", "supervision")

    def __init__(self) -> None:
        self.children: dict[str | int, Cell] = {}
        self.room: float = 0
        self.has_numbered_names = False
        self.supervision: Supervision | None = None
