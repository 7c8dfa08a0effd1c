"""Examples to evaluate with, and where they come from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import anyio.to_thread
import msgspec

from tinyllm_actors.errors import DatasetInvalid

__all__ = ["Dataset", "Example", "JsonLinesDataset", "digest_of", "load_examples"]

MAX_LINE = 16 * 1024 * 1024
MAX_EXAMPLES = 1_000_000


class Example(msgspec.Struct, frozen=True, omit_defaults=True):
    """One call to make, and what is expected of it.

    ```python
    >>> Example("birthday", {"content": "When is it?"}, expected="January 1st").id
    'birthday'

    ```

    Attributes:
        id: unique in its dataset.
        input: the arguments of the call, by name.
        expected: the right answer, or several; None if there is none to compare with.
        contexts: the true passages, for retrieval: texts.
        metadata: anything else; `tool_calls` are those that are expected.
    """

    id: str
    input: dict[str, Any]
    expected: Any = None
    contexts: list[str] = msgspec.field(default_factory=list[str])
    metadata: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])


@runtime_checkable
class Dataset(Protocol):
    """The port to datasets: something with a name that can be loaded.

    ```python
    >>> import anyio
    >>> class Two:
    ...     name = "two"
    ...     async def load(self):
    ...         return [Example("a", {"n": 1}), Example("b", {"n": 2})]
    >>> isinstance(Two(), Dataset)
    True

    ```

    One that a host keeps may have an `id` besides, by which the host knows it.

    Attributes:
        name: what it is called in reports.
    """

    name: str

    async def load(self) -> Sequence[Example]:
        """Return the examples, in an order that does not change.

        Raises:
            DatasetInvalid: an example cannot be used.
        """
        ...


class JsonLinesDataset:
    r"""A file with one JSON object in each line.

    `{"id": "birthday", "input": {"content": "When is it?"}, "expected": "January 1st"}`; `expected`, `contexts` and
    `metadata` may be left out, and so may `id`, which then is the number of the line. A text as `input` is the
    `content` that an agent takes. Empty lines are skipped.

    ```python
    >>> import anyio, tempfile, pathlib
    >>> from tinyllm_actors.evals import Example, JsonLinesDataset
    >>> async def main(folder: str) -> list[str]:
    ...     dataset = JsonLinesDataset(pathlib.Path(folder, "cases.jsonl"))
    ...     await dataset.save([Example("one", {"content": "1 + 1?"}, expected="2")])
    ...     return [example.id for example in await dataset.load()]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     anyio.run(main, folder)
    ['one']

    ```

    Args:
        path: the file.
        name: what it is called in reports; left out, the name of the file.
    """

    def __init__(self, path: str | os.PathLike[str], *, name: str | None = None) -> None:
        self.path = Path(path)
        self.name = name or self.path.stem

    async def load(self) -> Sequence[Example]:
        """Return the examples, in the order of the file.

        Raises:
            DatasetInvalid: the file cannot be read, or a line is no example; the error says which.
        """
        return await anyio.to_thread.run_sync(self._load)

    def _load(self) -> list[Example]:
        examples: list[Example] = []
        try:
            with self.path.open("rb") as lines:
                number = 0
                while line := lines.readline(MAX_LINE + 1):
                    number += 1
                    if len(line) > MAX_LINE:
                        raise DatasetInvalid(str(self.path), number, f"a line of more than {MAX_LINE} bytes")
                    if line.strip():
                        examples.append(_example(line, str(self.path), number))
                    if len(examples) > MAX_EXAMPLES:
                        raise DatasetInvalid(str(self.path), number, f"more than {MAX_EXAMPLES} examples")
        except OSError as error:
            raise DatasetInvalid(str(self.path), None, f"cannot be read: {error.strerror}") from error
        return checked_examples(examples, str(self.path))

    async def save(self, examples: Iterable[Example]) -> None:
        """Write the examples, in place of what the file held. Another program sees the old file or the new one.

        Raises:
            DatasetInvalid: two examples have the same id, or one cannot be written.
        """
        checked = checked_examples(examples, str(self.path))
        await anyio.to_thread.run_sync(self._save, checked)

    def _save(self, examples: Sequence[Example]) -> None:
        try:
            content = b"".join(msgspec.json.encode(example) + b"\n" for example in examples)
        except TypeError as error:
            raise DatasetInvalid(str(self.path), None, f"an example is no JSON: {error}") from error
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        fresh.write_bytes(content)
        fresh.replace(self.path)


def _example(line: bytes, source: str, number: int) -> Example:
    try:
        value: object = msgspec.json.decode(line)
        if isinstance(value, dict):
            given = cast("dict[str, Any]", value)
            unknown = given.keys() - {"id", "input", "expected", "contexts", "metadata"}
            if unknown:
                raise DatasetInvalid(
                    source, number, f"{min(unknown)!r} means nothing here; put what is yours under 'metadata'"
                )
            given.setdefault("id", str(number))
            if isinstance(given.get("input"), str):
                given["input"] = {"content": given["input"]}
            value = given
        return msgspec.convert(value, Example)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise DatasetInvalid(source, number, str(error)) from error


def checked_examples(examples: Iterable[Example], source: str) -> list[Example]:
    """Return the examples as a list.

    Raises:
        DatasetInvalid: two have the same id, or there are none.
    """
    found = list(examples)
    seen: set[str] = set()
    for example in found:
        if example.id in seen:
            raise DatasetInvalid(source, None, f"two examples have the id {example.id!r}")
        seen.add(example.id)
    if not found:
        raise DatasetInvalid(source, None, "there are no examples in it")
    return found


async def load_examples(dataset: Dataset | Iterable[Example] | str | os.PathLike[str]) -> tuple[str, list[Example]]:
    """Return the name and the examples of a dataset, a file of JSON lines, or examples themselves.

    Raises:
        DatasetInvalid: they cannot be used.
    """
    if isinstance(dataset, str | os.PathLike):
        dataset = JsonLinesDataset(dataset)
    if isinstance(dataset, Dataset):
        return dataset.name, checked_examples(await dataset.load(), dataset.name)
    return "examples", checked_examples(dataset, "examples")


def digest_of(examples: Sequence[Example]) -> str:
    """Return what tells one set of examples from another."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(msgspec.json.encode(example, enc_hook=str, order="sorted") + b"\n")
    return digest.hexdigest()[:16]
