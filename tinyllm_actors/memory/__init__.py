"""Memory: actors that hold what was said, and show an agent as much of it as it shall see."""

from tinyllm_actors.memory.buffer import BufferMemory
from tinyllm_actors.memory.groups import groups, newest_groups
from tinyllm_actors.memory.memory import Memory

__all__ = ["BufferMemory", "Memory", "groups", "newest_groups"]
