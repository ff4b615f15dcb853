"""The JSON of COCO's captions, and of Karpathy's split of them, as rows of a table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fomo.data.importing.splits import named_split


def coco_rows(value: Mapping[str, Any], path: Path) -> list[dict[str, Any]]:
    """A row for each of ``images``, with its file, its split and a list of captions.

    Captions are those of ``annotations`` by ``image_id``, or the ``sentences`` of the image itself. The split is the
    image's own, else that of the file's name (``captions_val2017.json``). What has another shape is passed over.
    """
    named = named_split(path.stem)
    rows: dict[tuple[type, Any], dict[str, Any]] = {}
    for number, image in enumerate(value["images"]):
        if isinstance(image, dict):
            split = image.get("split") or (named.split if named else "")
            split = "train" if split == "restval" else split  # Karpathy's rest of the validation images
            rows[_key(image.get("id"), number)] = {"file": _file(image), "split": split, "caption": _sentences(image)}
    annotations = value.get("annotations")
    for about in annotations if isinstance(annotations, list) else ():
        row = rows.get(_key(about.get("image_id"), None)) if isinstance(about, dict) else None
        if row is not None:
            row["caption"].append(about.get("caption"))
    return list(rows.values())


def _key(value: Any, otherwise: int | None) -> tuple[type, Any]:
    return (type(value), value) if isinstance(value, (int, str)) else (type(None), otherwise)


def _file(image: Mapping[str, Any]) -> Any:
    parts = (image.get("filepath"), image.get("filename"))
    return image.get("file_name") or "/".join(part for part in parts if isinstance(part, str) and part)


def _sentences(image: Mapping[str, Any]) -> list[Any]:
    sentences = image.get("sentences")
    listed = sentences if isinstance(sentences, list) else []
    return [each.get("raw") for each in listed if isinstance(each, dict)]
