"""The deployed weights of a finished run as a folder that plain open_clip loads, and that says how."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fomo.errors import FomoError
from fomo.results.layout import WEIGHTS
from fomo.results.run import Run
from fomo.system.digest import file_digest
from fomo.system.reading import read_json
from fomo.system.text import one_line
from fomo.system.writing import folder_beside, write_json, write_text

FORM = "open_clip_config.json"
"""Architecture and preprocessing, as a run stores them beside its weights and open_clip reads them."""
CHECKPOINT = "open_clip_model.safetensors"
FOLDER = "open_clip"
"""Where the export lies in the run folder, if no other place is given."""
ABOUT = "README.md"
SEEN = ("size", "interpolation", "resize_mode", "mean", "std")


def export_weights(run: Run, folder: Path) -> None:
    """Write checkpoint, configuration, merges of the tokenizer and a page on them into a new folder.

    Raises:
        FomoError: the run is not finished, deploys more than weights, or its weights are not those that it wrote; its
            architecture is none of open_clip's; the folder holds something else.
    """
    weights = run.weights
    if file_digest(weights) != run.card.weights_sha256:
        raise FomoError(f"{weights} is not the file that the run wrote (its hash differs from the card's).")
    form = _form(run, weights.parent / FORM)
    text = form["model_cfg"]["text_cfg"]
    merges = (text.get("tokenizer_kwargs") or {}).get("bpe_path")
    _refuse_other_content(folder)
    shutil.rmtree(folder, ignore_errors=True)
    with folder_beside(folder) as scratch:
        shutil.copyfile(weights, scratch / CHECKPOINT)
        write_json(scratch / FORM, form)
        write_json(scratch / f"{architecture(run)}.json", form["model_cfg"])
        if merges is not None:
            shutil.copyfile(weights.parent / Path(merges).name, scratch / Path(merges).name)
        write_text(scratch / ABOUT, page(run, form, folder.name))


def _form(run: Run, path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise FomoError(
            f"{run.folder}: there is no {path.name} beside {WEIGHTS}: its model is none of open_clip's architectures, "
            f"or the run is of a version that stored none. fomo loads its weights: model.folder={run.folder}."
        )
    form = read_json(path)
    parts = form.get("model_cfg") if isinstance(form, dict) else None
    if not isinstance(parts, dict) or not isinstance(parts.get("text_cfg"), dict):
        raise FomoError(f"{path}: not the configuration of an open_clip model.")
    return dict(form)


def _refuse_other_content(folder: Path) -> None:
    """An earlier export is replaced, and nothing else is."""
    if folder.exists() and not (folder.is_dir() and (not any(folder.iterdir()) or (folder / CHECKPOINT).is_file())):
        raise FomoError(f"--out {folder}: it is there and holds no export. Choose another folder.")


def architecture(run: Run) -> str:
    """What the architecture is called where its file is given to open_clip; no name of open_clip's own."""
    name = str(run.config["model"].get("name", "model"))
    return f"fomo-{re.sub(r'[^A-Za-z0-9_-]+', '-', Path(name).name)}"


def page(run: Run, form: Mapping[str, Any], here: str) -> str:
    """What the folder named ``here`` holds, and how open_clip loads it, as Markdown."""
    final = run.final
    seen = form.get("preprocess_cfg", {})
    how = ", ".join(
        f"{key} {seen[key]}" for key in ("size", "interpolation", "resize_mode", "mean", "std") if key in seen
    )
    return f"""# {one_line(run.label)}

Weights of a run of the FoMo benchmark: {one_line(run.config["model"].get("name", "?"))} after
{run.scores.num_tasks} updates on the stream {one_line(run.scores.stream.name)}, seed {run.config["seed"]}.
KA {final.ka:.2f}, ZS {final.zs:.2f} ({run.scores.split} split, score version {run.scores.score_version}).
SHA-256 of `{CHECKPOINT}`: `{run.card.weights_sha256}`.

```python
import open_clip

model, preprocess = open_clip.create_model_from_pretrained("local-dir:{here}")
tokenize = {_tokenizer(run, form, here)}
```

`{FORM}` holds the architecture and how images are seen: {how}. By the file of weights alone, which says nothing of
images, with the architecture beside it:

```python
open_clip.add_model_config("{here}/{architecture(run)}.json")
model = open_clip.create_model("{architecture(run)}", pretrained="{here}/{CHECKPOINT}")
```
"""


def _tokenizer(run: Run, form: Mapping[str, Any], here: str) -> str:
    """The call that makes the tokenizer that the run read texts with."""
    text = form["model_cfg"]["text_cfg"]
    merges = (text.get("tokenizer_kwargs") or {}).get("bpe_path")
    if merges is not None:
        return f'open_clip.get_tokenizer("local-dir:{here}", bpe_path="{here}/{Path(merges).name}")'
    if text.get("hf_tokenizer_name"):  # a folder would have to hold its files
        length = f", context_length={text['context_length']}" if "context_length" in text else ""
        return f'open_clip.get_tokenizer("{one_line(run.config["model"]["name"])}"{length})'
    return f'open_clip.get_tokenizer("local-dir:{here}")'
