"""Tools in processes of their own: `@tool(isolate="process")`.

What happens in such a function (it never yields, swallows every cancellation, eats memory, calls `os._exit`, is killed
or breaks the interpreter) fails its own call and nothing else. When its time-out or its caller ends a call, the
process and all its group are killed at once. It is no sandbox: the function can read files, use the network and call
`setsid`. For code that a model wrote there is `code_interpreter`.

1. The function is one that a new process can import by its module and name: no lambda, nothing defined in a function,
   no method of an instance. That of a script is found too, if the script starts under `if __name__ == "__main__"`.
2. Arguments cross by pickle, and are such as can be pickled.
3. What comes back is plain data: text, bytes, or what JSON makes of the result. Nothing that the process sends is
   unpickled. What JSON cannot say (a cycle, an object without fields) comes back as its text. 64 MiB is the limit.
4. An exception comes back as the built-in one of the same name, or else as `IsolatedFailure`; its traceback is a note.
5. Standard input is empty, standard output and error go nowhere; report progress with `ToolContext.report`,
   at most 1 MiB at a time.
6. A process serves one call at a time, and is warm for the next: nothing may rely on what a module holds, and nothing
   be spoilt by it. It is renewed after 100 calls, or when a call ran out of memory; the spare ones, at most four,
   end after a minute without work, or with the system. `Tool.call` outside of a system starts a process for each run.
7. At most 16 run at once in one event loop; waiting for one counts for the time-out.
8. If this process dies, they end themselves.
"""

from tinyllm_actors.tool.isolation.limits import ProcessLimits

__all__ = ["ProcessLimits"]
