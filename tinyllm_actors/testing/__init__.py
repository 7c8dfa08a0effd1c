"""The public test kit: scripted models, probes, virtual time, faults by script, and golden transition logs.

`ScriptedModel` stands in for a model inside the process. A provider over real HTTP, which answers, refuses, dawdles or
breaks off as a script says, is `tinyllm_actors.testing.fault_server.FaultServer` with what it may do in
`tinyllm_actors.testing.behaviours`; it needs the package `h11`.
"""

from tinyllm_actors.testing.clock import VirtualClock
from tinyllm_actors.testing.embeddings import HashEmbeddings
from tinyllm_actors.testing.faults import Faults, InjectedFault
from tinyllm_actors.testing.golden import assert_golden, record_transitions
from tinyllm_actors.testing.kit import TestKit
from tinyllm_actors.testing.probe import Probe
from tinyllm_actors.testing.puppet import Puppet
from tinyllm_actors.testing.scripted import ScriptedModel, ScriptError, fail, hang, text, tool_call, tool_calls
from tinyllm_actors.testing.trace_recorder import TraceRecorder

__all__ = [
    "Faults",
    "HashEmbeddings",
    "InjectedFault",
    "Probe",
    "Puppet",
    "ScriptError",
    "ScriptedModel",
    "TestKit",
    "TraceRecorder",
    "VirtualClock",
    "assert_golden",
    "fail",
    "hang",
    "record_transitions",
    "text",
    "tool_call",
    "tool_calls",
]
