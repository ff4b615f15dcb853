"""``fomo data import table``: images that a table describes, wherever they lie; and tables beside class folders."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from fomo.data.importing.class_folders import (
    Placed,
    check_names,
    class_name_of,
    forget,
    outer_folder,
    place,
    remark_on_outer,
    remark_on_tables,
)
from fomo.data.importing.class_names import NameFile, check_told_apart, read_names
from fomo.data.importing.described import TABLE_ENDS, DescribedImage, file_in, read_table
from fomo.data.importing.found_image import FoundImage
from fomo.data.importing.gathered import AS_FOUND, Gathered, ImportOptions, found_tree, source_of
from fomo.data.importing.job import ImportSource
from fomo.data.importing.planning import GIVEN
from fomo.data.importing.split_lists import find_images, index_of, start_of
from fomo.data.importing.splits import named_split
from fomo.data.importing.tree import Tree
from fomo.data.sources import LeftOut, Unusable
from fomo.errors import FomoError

METADATA = "metadata"


def metadata_tables(tree: Tree) -> list[Path]:
    """Tables under the name that Hugging Face's ``imagefolder`` gives them."""
    return [path for path in tree.texts if path.stem.lower() == METADATA and path.suffix.lower() in TABLE_ENDS]


def names_classes(path: Path) -> bool:
    """Whether a file is a table that names several classes."""
    try:
        rows = read_table(path)
    except FomoError:
        return False
    return len({row.class_name for row in rows}) > 1


def table_source(
    tables: list[Path],
    folder: Path | None,
    name: str,
    size: int | None = None,
    options: ImportOptions = AS_FOUND,
    columns: Mapping[str, str] | None = None,
) -> ImportSource:
    """The images that tables name, each relative to ``folder``.

    Args:
        tables: CSV, TSV, JSON lines, JSON or COCO captions; with several, their names may say the split.
        folder: where the images lie; the first table's own folder if ``None``.
        name: the dataset's name.
        size: the shorter side that images are shrunk to.
        options: how the images are to be read.
        columns: names of columns by what they hold, where they are other than usual.

    Raises:
        FomoError: a table cannot be read or contradicts another; none of its images is there.
    """
    gone = [path for path in tables if not path.is_file()]
    if gone:
        raise FomoError(f"'{gone[0]}' is not a file: give a table.")
    root = folder or tables[0].parent
    tree = found_tree(root, size, options)
    return source_of("table", name, size, tree, gather_described(tree, tables, options, columns, root), options.rules)


def gather_described(
    tree: Tree,
    tables: list[Path],
    options: ImportOptions,
    columns: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Gathered:
    """Images with what tables say of them; what they do not say comes from the folders.

    Args:
        tree: the images.
        tables: files that describe them; without any, images have the texts beside them and no classes.
        options: how the tree is to be read.
        columns: as :func:`table_source`.
        folder: where the files lie that the tables name; each table's own folder if ``None``.

    Raises:
        FomoError: as :func:`table_source`.
    """
    placed, note = place(tree, options)
    images = _unnamed(tree, placed)
    said: dict[Path, DescribedImage] = {}
    for path in tables:
        index = _index_for(tree, path, images)
        rows = read_table(path, columns)
        found = find_images((each.file for each in rows), index, start_of(folder or path.parent, tree.root))
        for each in rows:
            file = _file_of(tree, folder or path.parent, each.file, found)
            if file in images:
                _add(said, images[file], path, each)
            elif file is not None:
                tree.left_out.append(LeftOut(each.file, "named in the table, not there"))
    if tables and not said:
        raise FomoError(f"none of the images that '{tables[0]}' names is in '{folder or tables[0].parent}'.")
    names = read_names(options.classes) if options.classes is not None else None
    if tables:
        outer = () if folder is not None else outer_folder(placed, options)
        in_table = any(each.class_name for each in said.values())
        ways = {} if folder is not None or in_table else _class_ways(placed, len(outer))
        folders = _class_folders(tree, ways, options, names)
        if names is not None:
            _check_looked_up(said.values(), names)
        if outer and not in_table:
            tree.remarks.append(remark_on_outer(outer))
        if not folders and not any(each.class_name or each.captions for each in said.values()):
            raise FomoError(
                f"'{tables[0]}' names files, and neither classes nor captions of them: "
                f"say which column does by `fomo data import table … --columns class=COLUMN`, or caption=COLUMN."
            )
        images = _joined(tree, images, tables, said, folders, names)
    check_told_apart({name: f"the class {name!a}" for i in images.values() if (name := i.class_name) is not None})
    forget(tree, tables)
    silent = sum(not image.split for image in images.values())
    said_of_rest = f" ({silent} without one are trained on)" if silent else ""
    split = f"split given by its tables{said_of_rest}" if silent < len(images) else ""
    files = [*tables, *([options.classes] if options.classes is not None else [])]
    gathered = Gathered(list(images.values()), files, note or split)
    if tables and options.rules.splits == GIVEN:
        remark_on_tables(tree, gathered)
    return gathered


def _unnamed(tree: Tree, placed: Placed) -> dict[Path, FoundImage]:
    """The images of the tree by file, with the split of their folder and no class."""
    return {
        file: tree.found(file, None, split) for folder, (split, _) in placed.items() for file in tree.images[folder]
    }


def _index_for(tree: Tree, table: Path, images: Mapping[Path, FoundImage]) -> Mapping[str, str]:
    """Images by the end of their path: those of the table's split, where its name and their folders name one."""
    named = named_split(table.stem)
    same = [file for file, image in images.items() if named is not None and image.split == named.split]
    return index_of(map(tree.path_of, same or images))


def _file_of(tree: Tree, folder: Path, name: str, found: Mapping[str, str]) -> Path | None:
    """The file that a table names, below ``folder`` or as it was found; ``None`` if the name cannot be used."""
    try:
        file = file_in(folder, name)
    except Unusable as reason:
        tree.left_out.append(LeftOut(name, str(reason)))
        return None
    return file or tree.root / found.get(name, name)


def _add(said: dict[Path, DescribedImage], image: FoundImage, table: Path, each: DescribedImage) -> None:
    """Note what a table says of an image."""
    named = named_split(table.stem)
    split = each.split or image.split or (named.split if named else "")
    known = said.setdefault(image.file, replace(each, split=split, captions=[]))
    if (known.class_name, known.split) != (each.class_name, split):
        raise FomoError(f"'{table}': '{each.file}' was described before with another class or split.")
    known.captions += each.captions


def _joined(
    tree: Tree,
    images: Mapping[Path, FoundImage],
    tables: list[Path],
    said: Mapping[Path, DescribedImage],
    folders: Mapping[Path, str],
    names: NameFile | None,
) -> dict[Path, FoundImage]:
    """Each described image with its class, from the table, else from its folder; the others are left out."""
    in_table = any(each.class_name for each in said.values())
    any_class = in_table or bool(folders)
    joined = {}
    for file, image in images.items():
        about = said.get(file)
        if about is None:
            if in_table or file not in folders or any(file.is_relative_to(table.parent) for table in tables):
                tree.leave_out(file, "there, not named in the table")
            else:  # a split of class folders without a table
                joined[file] = replace(image, class_name=folders[file])
            continue
        class_name = _class_of(about, names) if in_table else folders.get(file)
        if any_class and class_name is None:
            tree.leave_out(file, "no class")
            continue
        joined[file] = replace(image, class_name=class_name, split=about.split, captions=tuple(about.captions))
    return joined


def _class_ways(placed: Placed, num_outer: int) -> Placed:
    """Folders of classes, without the first names; nothing where folders tell no classes apart."""
    if len({parts for _, parts in placed.values() if parts}) < 2:
        return {}
    return {folder: (split, parts[num_outer:]) for folder, (split, parts) in placed.items() if parts}


def _class_folders(tree: Tree, ways: Placed, options: ImportOptions, names: NameFile | None) -> dict[Path, str]:
    """The class of each image by its folder.

    Raises:
        FomoError: two folders give one class.
    """
    classes = {parts: class_name_of(tree, parts, names) for _, parts in ways.values()}
    check_names(tree, ways, classes, options)
    return {file: classes[parts] for folder, (_, parts) in ways.items() for file in tree.images[folder]}


def _check_looked_up(said: Iterable[DescribedImage], names: NameFile) -> None:
    """Refuse two identifiers of tables that the file gives one name: their images would be one class."""
    known: dict[str, str] = {}
    for each in filter(None, (about.class_name for about in said)):
        twin = known.setdefault(names[each], each)
        if twin != each:
            raise FomoError(f"'{names.path}' calls both '{twin}' and '{each}' '{names[each]}': rename one of them.")


def _class_of(about: DescribedImage, names: NameFile | None) -> str | None:
    if not about.class_name:
        return None
    return names[about.class_name] if names is not None else " ".join(about.class_name.split())
