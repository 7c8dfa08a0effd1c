"""How children are found by what they are called, though most of them have no name but a number.

An actor that nobody named is called by its class and a number, such as `"Echo-17"`. That text is made when somebody
asks for it, which for most actors nobody does: it would be a sixth of the time that a spawn takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tinyllm_actors.errors import NameTaken

if TYPE_CHECKING:
    from tinyllm_actors.kernel.cell import Cell
    from tinyllm_actors.kernel.family import Family

__all__ = ["claim", "find_child"]

_MAX_DIGITS: Final = 18
"""No system counts further; and Python refuses to read very long numbers, which a path from outside may hold."""


def find_child(family: Family, label: str) -> Cell | None:
    """Return the child that is called `label`, be the name chosen or made."""
    child = family.children.get(label)
    if child is not None or not label[-1:].isdecimal():
        return child
    number = label.rpartition("-")[2]
    if not number.isdecimal() or len(number) > _MAX_DIGITS:
        return None
    child = family.children.get(int(number))
    return None if child is None or child.label != label else child


def claim(family: Family, label: str) -> str:
    """Return a chosen name that no sibling has.

    Raises:
        NameTaken: a sibling has it.
    """
    child = find_child(family, label)
    if child is not None:
        raise NameTaken(child.path)
    if label[-1:].isdecimal():
        family.has_numbered_names = True  # from now on, a made name must be compared with those
    return label
