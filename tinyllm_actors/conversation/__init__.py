"""Conversations: histories that stay valid, whatever happened to them."""

from tinyllm_actors.conversation.repair import INTERRUPTED, interrupted, repair

__all__ = ["INTERRUPTED", "interrupted", "repair"]
