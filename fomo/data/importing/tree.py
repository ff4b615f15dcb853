"""A tree of folders as an import finds it: its images, in sorted order, and what is left out unread."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from fomo.data.importing.found_image import FoundImage
from fomo.data.importing.job import NO_IMAGE
from fomo.data.importing.splits import Parts
from fomo.data.sources import LEFT_BY_TOOL, LeftOut, is_left_by_tool
from fomo.data.stored_images import EXTENSIONS

TEXT_ENDS = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".lst", ".list")
"""Files that may say something of images."""
CAPTION_ENDS = (".txt", ".TXT", ".Txt")


@dataclass
class Tree:
    """Images by the names that lead to their folder, texts beside them, what is left out, and remarks for people."""

    root: Path
    images: dict[Parts, list[Path]] = field(default_factory=dict)
    texts: list[Path] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(map(str, self.texts))

    def beside(self, file: Path, *ends: str) -> Path | None:
        """A text of an image's name with one of ``ends``, its own replaced or kept."""
        stem = str(file.with_suffix(""))
        name = next((f"{start}{end}" for start in (stem, file) for end in ends if f"{start}{end}" in self._names), None)
        return None if name is None else Path(name)

    def found(self, file: Path, class_name: str | None, split: str) -> FoundImage:
        """An image of the tree with the files beside it that may hold its captions."""
        text = self.beside(file, *CAPTION_ENDS)
        about = self.beside(file, ".json") if class_name is None else None
        return FoundImage(self.root, file, class_name, split, text=text, about=about)

    def path_of(self, file: Path) -> str:
        """The path of a file below the root."""
        return file.relative_to(self.root).as_posix()

    def leave_out(self, file: Path, reason: str) -> None:
        """Note what is not brought in."""
        self.left_out.append(LeftOut(self.path_of(file), reason))


def find(root: Path, links: Path | None = None) -> Tree:
    """All below ``root``, folder by folder.

    Args:
        root: where to look.
        links: a folder; links that lead into it are followed, as those to files in ``root`` are.
    """
    tree = Tree(root)
    inside = [root.resolve()] + ([links.resolve()] if links is not None else [])
    for folder, subfolders, files in _walk(tree, inside, links is not None):
        here = folder.relative_to(root).parts
        for path in sorted(folder / name for name in files):
            if not _is_known(tree, path):
                continue
            reason = unsuitable(path, inside)
            if not reason:
                tree.images.setdefault(here, []).append(path)
            else:
                _note_other(tree, path, reason, inside)
        if not subfolders and here not in tree.images and here:
            tree.leave_out(folder, NO_IMAGE)
    return tree


def _note_other(tree: Tree, path: Path, reason: str, inside: list[Path]) -> None:
    """A file that is no image; texts are no loss. What leads out is not read, nor what never ends."""
    suffix = path.suffix.lower()
    if suffix in TEXT_ENDS and path.is_file() and any(path.resolve().is_relative_to(folder) for folder in inside):
        tree.texts.append(path)
    if suffix != ".txt":
        tree.leave_out(path, reason)


def _walk(tree: Tree, inside: list[Path], follow: bool) -> Iterator[tuple[Path, list[str], list[str]]]:
    """As ``os.walk``, in sorted order, without folders of tools; one that links lead back to is passed over."""
    seen = {tree.root.resolve()}
    for place, subfolders, files in os.walk(tree.root, followlinks=follow):
        folder = Path(place)
        for name in sorted(subfolders):
            below = folder / name
            if is_left_by_tool(PurePosixPath(name)):
                subfolders.remove(name)
                _leave_out_images(tree, below)
            elif below.is_symlink() and not _may_follow(below, inside, seen, follow):
                tree.leave_out(below, "link to a folder")
                if follow:
                    subfolders.remove(name)
            elif follow:
                seen.add(below.resolve())
        subfolders.sort()
        yield folder, subfolders, files


def _may_follow(link: Path, inside: list[Path], seen: set[Path], follow: bool) -> bool:
    target = link.resolve()
    above = any(target == folder or folder.is_relative_to(target) for folder in seen)
    return follow and not above and any(target.is_relative_to(folder) for folder in inside)


def _leave_out_images(tree: Tree, folder: Path) -> None:
    """Count the images in a tool's folder: nobody asks for the rest."""
    for place, _, files in os.walk(folder):
        for path in sorted(Path(place) / name for name in files):
            if path.suffix.lower() in EXTENSIONS:
                tree.leave_out(path, LEFT_BY_TOOL)


def _is_known(tree: Tree, path: Path) -> bool:
    """Whether a file is no tool's; images that are one are counted."""
    if not is_left_by_tool(PurePosixPath(path.name)) or path.suffix.lower() not in EXTENSIONS:
        return True
    tree.leave_out(path, LEFT_BY_TOOL)
    return False


def unsuitable(path: Path, inside: list[Path]) -> str:
    """Why a file is not even opened; empty where it is."""
    if path.suffix.lower() not in EXTENSIONS:
        return "not an image by name"
    if not any(path.resolve().is_relative_to(folder) for folder in inside):
        return "link out of the folder"
    return "" if path.is_file() else "not a file"
