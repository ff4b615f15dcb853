"""``fomo pretrain`` as a user types it."""

import dataclasses
from pathlib import Path

import pytest

from fomo.cli.pretrain import main, parse, recipe_with
from fomo.errors import FomoError
from streams.pocket.pretraining.train import shipped_recipe


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model=pockets"], "Did you mean 'pocket'"),
        (["stepz=3"], "Did you mean 'steps'"),
        (["steps"], "KEY=VALUE"),
        (["steps=many"], "steps"),
        (["steps=0"], "1 and above"),
        (["lr=nan"], "above 0"),
        (["num_samples=9"], "batch_size"),
    ],
)
def test_mistakes_are_refused_before_any_work(arguments: list[str], words: str, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=words):
        main([*arguments, f"out={tmp_path / 'model'}"])
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    with pytest.raises(FomoError, match="not empty"):
        main([f"out={tmp_path}"])
    with pytest.raises(FomoError, match="cannot be made"):
        main([f"out={tmp_path / 'kept' / 'below'}"])


def test_settings_change_the_shipped_recipe() -> None:
    recipe = recipe_with("pocket", parse(["steps=7", "lr=1e-4"]))
    assert recipe == dataclasses.replace(shipped_recipe("pocket"), steps=7, lr=1e-4)
