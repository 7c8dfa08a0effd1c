"""What is kept at Langfuse and used here: prompts, with a local one for when the host is away, and datasets."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import anyio.to_thread

from tinyllm_actors.errors import TracingError
from tinyllm_actors.integrations.langfuse.access import Access, new_client, shut_down
from tinyllm_actors.integrations.langfuse.experiment import links_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from tinyllm_actors.evals import EvalRun

__all__ = ["LangfuseWorkspace"]

T = TypeVar("T")


class LangfuseWorkspace:
    """Prompts and datasets of a Langfuse project: `async with LangfuseWorkspace() as workspace`.

    Everything that may wait does so in a worker thread.

    ```python
    from tinyllm_actors.integrations.langfuse import LangfuseWorkspace

    async with LangfuseWorkspace() as workspace:
        role = await workspace.prompt("support", fallback="You help users of {{product}}.", product="tea")
        for item in await workspace.dataset("questions"):
            await agent(content=item["input"])
    ```

    Args:
        public_key: as of `LangfuseTracer`.
        secret_key: likewise.
        base_url: likewise.
        timeout: whole seconds that one request may take.
        cache_seconds: how long a prompt is used before it is asked for again.

    Raises:
        MissingDependency: the SDK is not installed.
        MissingCredential: a key is missing.
    """

    def __init__(
        self,
        *,
        public_key: str | None = None,
        secret_key: str | None = None,
        base_url: str | None = None,
        timeout: int = 3,
        cache_seconds: int = 60,
    ) -> None:
        self._access = Access.of(public_key, secret_key, base_url, timeout)
        self._cache_seconds = cache_seconds
        self._client: Any = None

    async def __aenter__(self) -> Self:
        self._client = await anyio.to_thread.run_sync(
            functools.partial(new_client, self._access, tracing_enabled=False), abandon_on_cancel=True
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.move_on_after(self._access.timeout, shield=True):
            await anyio.to_thread.run_sync(shut_down, self._client, abandon_on_cancel=True)

    async def prompt(
        self, name: str, *, fallback: str, label: str | None = None, version: int | None = None, **variables: object
    ) -> str:
        """Return a text prompt with its variables filled in; `fallback`, filled in, if the host does not give it.

        Args:
            name: of the prompt.
            fallback: what to use instead.
            label: such as `"production"`, which is what is asked for if nothing is said.
            version: a certain one.
            **variables: values for `{{name}}`.
        """
        found = await self._run(
            functools.partial(
                self._client.get_prompt,
                name,
                label=label,
                version=version,
                fallback=fallback,
                cache_ttl_seconds=self._cache_seconds,
                max_retries=0,
                fetch_timeout_seconds=self._access.timeout,
            ),
            f"prompt {name!r}",
        )
        return str(found.compile(**variables))

    async def dataset(self, name: str) -> list[dict[str, Any]]:
        """Return the items of a dataset: `id`, `input`, `expected_output` and `metadata` of each.

        Raises:
            TracingError: the host did not give it.
        """
        fields = ("id", "input", "expected_output", "metadata")
        return [{field: item[field] for field in fields} for item in (await self.read_dataset(name))[1]]

    async def read_dataset(self, name: str) -> tuple[str, list[dict[str, Any]]]:
        """Return the id of a dataset, and its items with their `status` besides; see `LangfuseDataset`.

        Raises:
            TracingError: the host did not give it.
        """
        found = await self._run(functools.partial(self._client.get_dataset, name), f"dataset {name!r}")
        return found.id, [
            {
                "id": item.id,
                "input": item.input,
                "expected_output": item.expected_output,
                "metadata": item.metadata,
                "status": str(getattr(item.status, "value", item.status)),
            }
            for item in found.items
        ]

    async def link_run(self, run: EvalRun, *, description: str | None = None) -> int:
        """Make a run of a dataset of the traces of an evaluation, at a host before Langfuse 4.

        Since version 4, Langfuse makes experiments of what the traces themselves say, and takes no links: there is
        nothing to do. Linked again, a run has its items twice.

        Args:
            run: of a `LangfuseDataset`, in a system that was traced.
            description: of the run.

        Returns:
            how many of its records were linked; those that were not traced are not.

        Raises:
            TracingError: the host did not take them; the first ones may be there.
        """
        what = f"links of run {run.header.name!r}"
        links = links_of(run, description)
        for link in links:
            await self._run(functools.partial(self._post, "api/public/dataset-run-items", link), what)
        return len(links)

    def _post(self, path: str, body: Mapping[str, Any]) -> None:
        """Send what newer SDKs have no method for, with the key and the time-out of the SDK's own requests."""
        response = self._client.api._client_wrapper.httpx_client.request(path, method="POST", json=body)
        if not 200 <= response.status_code < 300:
            raise OSError(f"{response.status_code} {response.text[:300]}")

    async def add_to_dataset(self, name: str, items: Sequence[Mapping[str, Any]]) -> None:
        """Add items to a dataset, which is made if it is not there.

        Args:
            name: of the dataset.
            items: with `input`, and `expected_output`, `metadata` and `id` if you like; one with an id that is there
                takes its place.

        Raises:
            TracingError: the host did not take them; the first ones may be there.
        """
        await self._run(functools.partial(self._client.create_dataset, name=name), f"dataset {name!r}")
        for item in items:
            call = functools.partial(self._client.create_dataset_item, dataset_name=name, **item)
            await self._run(call, f"dataset {name!r}")

    async def _run(self, call: Callable[[], T], what: str) -> T:
        try:
            return await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
        except Exception as error:
            raise TracingError(f"Langfuse failed on {what}: {type(error).__name__}: {error}") from error
