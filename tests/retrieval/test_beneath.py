"""Files beneath a folder: which are found, and which are not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tinyllm_actors.errors import DocumentRefused, DocumentTooLarge
from tinyllm_actors.retrieval import FoundFile, find_files
from tinyllm_actors.retrieval.loading.beneath import fingerprint_file, open_beneath


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a folder with files of all sorts, and links out of it."""
    for path in ("a.md", "b.exe", ".hidden.md", "sub/c.md", "sub/deep/d.md", ".git/e.md", "sub/Z.MD"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(path)
    (tmp_path / "link.md").symlink_to("a.md")
    (tmp_path / "out").symlink_to("/")
    os.mkfifo(tmp_path / "pipe.md")
    return tmp_path


def _find(root: Path, path: str = ".", max_files: int = 100, max_depth: int = 9) -> list[FoundFile]:
    found = find_files(str(root), path, suffixes={".md"}, max_files=max_files, max_depth=max_depth)
    return [file for batch in found for file in batch]


def test_files_are_found_in_order_and_what_is_not_read_says_why(root: Path) -> None:
    """Folder by folder, by name; other kinds, links and pipes are there with the reason, hidden files are not."""
    assert _find(root) == [
        FoundFile("a.md"),
        FoundFile("b.exe", "is of a kind that nothing here reads"),
        FoundFile("link.md", "is a symbolic link"),
        FoundFile("pipe.md", "is not an ordinary file"),
        FoundFile("out", "is a symbolic link"),
        FoundFile("sub/Z.MD"),
        FoundFile("sub/c.md"),
        FoundFile("sub/deep/d.md"),
    ]
    assert _find(root, "sub/deep") == [FoundFile("sub/deep/d.md")]
    assert _find(root, "sub/c.md") == [FoundFile("sub/c.md")]
    assert _find(root, str(root))[0] == FoundFile("a.md")


def test_depth_and_number_are_bounded(root: Path) -> None:
    """What is deeper is told of, and too many files are an error."""
    assert _find(root, "sub", max_depth=0)[-1] == FoundFile("sub/deep", "is deeper than 0 folders")
    with pytest.raises(DocumentTooLarge, match="max_files=7"):
        _find(root, max_files=7)


def test_names_that_are_no_text_are_told_of(root: Path) -> None:
    """A name in no encoding is shown with its bytes, and not read."""
    (root / "sub" / "deep" / os.fsdecode(b"\xff.md")).write_text("x")
    assert _find(root, "sub/deep")[-1] == FoundFile("sub/deep/\\udcff.md", "has a name that is no text")


@pytest.mark.parametrize("path", ["..", "sub/../..", "/", "out", "out/etc", "a.md/x"])
def test_nothing_outside_is_looked_into(root: Path, path: str) -> None:
    """No path leads out of the root, and none through a link or a file."""
    with pytest.raises((DocumentRefused, NotADirectoryError)):
        _find(root, path)


def test_a_fingerprint_is_of_the_content(root: Path) -> None:
    """The same content has the same fingerprint, and a file that is too large has none."""
    (root / "same.md").write_text("a.md")
    assert fingerprint_file(str(root), "same.md", 100) == fingerprint_file(str(root), "a.md", 100)
    assert fingerprint_file(str(root), "sub/c.md", 100) != fingerprint_file(str(root), "a.md", 100)
    with pytest.raises(DocumentTooLarge, match="max_bytes=3"):
        fingerprint_file(str(root), "a.md", 3)
    with pytest.raises(DocumentRefused, match="is the root"):
        open_beneath(str(root), ".")
