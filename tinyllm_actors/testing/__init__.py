"""The public test kit."""

from tinyllm_actors.testing.scripted import ScriptedModel, ScriptError, fail, hang, text, tool_call, tool_calls

__all__ = ["ScriptError", "ScriptedModel", "fail", "hang", "text", "tool_call", "tool_calls"]
