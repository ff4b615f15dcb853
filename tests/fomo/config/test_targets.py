"""What a configuration may build, and from where."""

import sys
from pathlib import Path
from typing import Any

import pytest

import fomo
from fomo.config.compose import compose
from fomo.config.factory import build, model, model_shapes
from fomo.config.schema import resolve
from fomo.errors import FomoError
from methods.merging.temporal import TemporalMerge
from tests.fomo.helpers import put

LEFT_A_MARK = "left_a_mark"
MERGE = {"_target_": "methods.merging.temporal.TemporalMerge", "init": "merged", "deploy": "running"}


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of somebody else's that leaves a file where it is imported."""
    mark = tmp_path / LEFT_A_MARK
    source = f"""from pathlib import Path
import fomo
Path({str(mark)!r}).write_text("")
class Mine(fomo.Method):
    def __init__(self, strength: float) -> None:
        self.strength = strength
"""
    put(tmp_path / "guest_package" / "__init__.py", source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "guest_package", raising=False)
    return "guest_package.Mine"


def test_a_part_is_built_with_its_keys() -> None:
    built = build("merging", MERGE | {"weight": 0.25})
    assert isinstance(built, TemporalMerge) and built.weight == 0.25


def test_a_partial_part_takes_the_rest_later() -> None:
    schedule = build("schedule", {"_target_": "methods.schedules.constant", "_partial_": True, "warmup": 0.5})
    assert schedule(fomo.Position(0, 0, 4, peak=1.0, floor=0.0)) == 0.5


def test_a_foreign_package_is_refused_before_it_is_imported(plugin: str, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"merging._target_ = guest_package.Mine.*allow_targets=\[guest_package\]"):
        build("merging", {"_target_": plugin, "strength": 1.0})
    assert not (tmp_path / LEFT_A_MARK).exists() and "guest_package" not in sys.modules


def test_a_foreign_package_that_is_trusted_is_built(plugin: str) -> None:
    built = build("merging", {"_target_": plugin, "strength": 1.5}, ("guest_package",))
    assert isinstance(built, fomo.Method) and built.strength == 1.5  # type: ignore[attr-defined]


@pytest.mark.parametrize("node", [{}, {"_target_": None}, {"_target_": 3}, {"weight": 0.5}])
def test_a_part_without_a_target_says_what_to_do(node: dict[str, Any]) -> None:
    with pytest.raises(FomoError, match=r"merging has no _target_.*merging=NAME"):
        build("merging", node)


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "builtins.eval",
        "fomo.running.folder.shutil.rmtree",
        "fomo.cli.os.system",
        "fomo.config.targets.partial",
        "methods.lora.torch.load",
    ],
)
def test_nothing_of_others_is_reached_not_even_through_our_modules(target: str) -> None:
    with pytest.raises(FomoError, match=target):
        build("merging", {"_target_": target})


def test_a_target_inside_a_part_is_not_built(tmp_path: Path) -> None:
    mark = tmp_path / LEFT_A_MARK
    inner = {"_target_": "os.mkdir", "path": str(mark)}
    with pytest.raises(FomoError, match="trainable"):
        build("trainable", {"_target_": "methods.trainable.Trainable", "what": inner})
    with pytest.raises(FomoError):
        build("stream", {"_target_": "methods.trainable.Trainable", "what": [inner]})
    assert not mark.exists()


def test_positional_arguments_do_not_pass_the_check_of_keys() -> None:
    with pytest.raises(FomoError, match="_args_"):
        build("merging", MERGE | {"_args_": [0.1]})


@pytest.mark.parametrize(
    "target", ["methods.merging.temporal.TemporalMerg", "methods.nowhere.Thing", "methods", "fomo."]
)
def test_a_target_that_is_not_there_is_named(target: str) -> None:
    with pytest.raises(FomoError, match=f"merging._target_ = {target}"):
        build("merging", {"_target_": target})


def test_a_target_that_cannot_be_called_is_named() -> None:
    with pytest.raises(FomoError, match=r"fomo.version.__version__"):
        build("merging", {"_target_": "fomo.version.__version__"})


def test_an_unknown_key_is_refused_with_the_nearest() -> None:
    with pytest.raises(FomoError, match=r"key of merging 'wieght'.*Did you mean 'weight'"):
        build("merging", MERGE | {"wieght": 0.5})


def test_a_missing_key_is_named() -> None:
    with pytest.raises(FomoError, match=r"trainable.what is missing"):
        build("trainable", {"_target_": "methods.trainable.Trainable"})


def test_what_the_program_gives_is_no_key_of_the_user() -> None:
    node = MERGE
    assert build("merging", node, weight=0.75).weight == 0.75
    with pytest.raises(FomoError, match="key of merging 'weight'"):
        build("merging", node | {"weight": 0.5}, weight=0.75)


def test_a_parts_own_refusal_reaches_the_user_as_it_is() -> None:
    with pytest.raises(FomoError, match=r"^merging.weight=2: allowed are 0 to 1"):
        build("merging", MERGE | {"weight": 2})


@pytest.mark.parametrize(
    ("section", "node"),
    [
        ("merging", MERGE | {"weight": "much"}),
        ("merging", MERGE | {"weight": None}),
    ],
)
def test_a_value_of_another_type_is_an_error_that_names_the_section(section: str, node: dict[str, Any]) -> None:
    with pytest.raises(FomoError, match=section):
        build(section, node)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [("rank", "high", "trainable.rank=high: an integer"), ("rank", 2.5, "an integer"), ("rank", True, "an integer"),
     ("scale", "much", "trainable.scale=much: a number"), ("placement", 3, "trainable.placement=3: a string")],
)  # fmt: skip
def test_values_of_another_kind_are_refused(key: str, value: object, text: str) -> None:
    with pytest.raises(FomoError, match=text):
        build("trainable", {"_target_": "methods.lora.LoRA", key: value})


@pytest.mark.parametrize("value", [True, 40.0, "40"])
def test_a_value_of_another_kind_is_refused_where_null_is_taken_too(value: object, tmp_path: Path) -> None:
    """``stream.test_images=true`` was 1 before: every dataset was scored on one image."""
    node = {"_target_": "streams.build_stream", "adaptation": ["pocket_flags"], "retention": ["pocket_counting"]}
    node |= {"name": "mine", "ordering": "given", "pool_size": 0, "root": str(tmp_path)}
    with pytest.raises(FomoError, match=f"stream.test_images={value}: an integer is expected"):
        build("stream", node | {"test_images": value})
    assert build("stream", node | {"test_images": None}).test_images is None


def test_true_is_not_taken_for_the_width_that_nobody_names() -> None:
    """``True == 1``: it was left out as the default is, and the base model taken."""
    for build_model in (model, model_shapes):
        with pytest.raises(FomoError, match=r"model\.width=True: a number is expected"):
            build_model(resolve(compose(["model.width=true"])).config)


def test_a_whole_number_is_a_number() -> None:
    assert build("trainable", {"_target_": "methods.lora.LoRA", "scale": 2}).scale == 2


def test_a_type_without_a_signature_is_refused_in_words() -> None:
    with pytest.raises(fomo.FomoError, match="no signature found"):
        build("merging", {"_target_": "builtins.dict"}, ("builtins",))


def test_what_a_module_cannot_import_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "lacks_one.py", "import nowhere_at_all\n\nclass Part: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(FomoError, match="No module named 'nowhere_at_all'"):
        build("merging", {"_target_": "lacks_one.Part"}, allow=("lacks_one",))
