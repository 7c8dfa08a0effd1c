"""A dataset that Langfuse keeps, as one to evaluate with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from tinyllm_actors.errors import DatasetInvalid
from tinyllm_actors.evals import Example

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tinyllm_actors.integrations.langfuse.workspace import LangfuseWorkspace

__all__ = ["LangfuseDataset"]


class LangfuseDataset:
    """A dataset of a Langfuse project, for `evaluate`: the run is an experiment of it there, if the system is traced.

    An item's input is the arguments of the call, or, if it is a text, the `content` that an agent takes. Its metadata
    may have `contexts`, the true passages, for retrieval. Items that are archived are left out.

    ```python
    async with ActorSystem("evals") as system, LangfuseWorkspace() as workspace:
        await start_tracing(system, LangfuseTracer())
        dataset = LangfuseDataset(workspace, "questions")
        run = await evaluate(system, Agent.spec(…), dataset, [ExactMatch], name="small model")
    ```

    Args:
        workspace: the project; open.
        name: of the dataset.

    Attributes:
        name: of the dataset.
        id: by which Langfuse knows it; None before it is loaded.
    """

    def __init__(self, workspace: LangfuseWorkspace, name: str) -> None:
        self.name = name
        self.id: str | None = None
        self._workspace = workspace

    async def load(self) -> Sequence[Example]:
        """Return the items as examples.

        Raises:
            TracingError: the host did not give them.
            DatasetInvalid: an item's input is neither an object nor a text.
        """
        self.id, items = await self._workspace.read_dataset(self.name)
        return [self._example(item) for item in items if item["status"] != "ARCHIVED"]

    def _example(self, item: Mapping[str, Any]) -> Example:
        given = item["input"]
        if isinstance(given, str):
            given = {"content": given}
        if not isinstance(given, dict):
            raise DatasetInvalid(
                self.name, None, f"the input of item {item['id']!r} is {given!r:.100}, neither an object nor a text"
            )
        metadata = cast("dict[str, Any]", item["metadata"] if isinstance(item["metadata"], dict) else {})
        contexts = metadata.get("contexts")
        texts = [str(context) for context in cast("list[Any]", contexts)] if isinstance(contexts, list) else []
        return Example(
            item["id"],
            cast("dict[str, Any]", given),
            expected=item["expected_output"],
            contexts=texts,
            metadata=metadata,
        )
