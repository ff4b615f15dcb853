"""Configurations of others, and overrides."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from fomo.config.compose import compose, parse
from fomo.config.factory import build
from fomo.config.schema import resolve
from fomo.errors import FomoError
from fomo.results.config_file import read_config
from fomo.system.reading import read_yaml
from tests.fomo.helpers import put
from tests.fuzz.harness import HEAVY, PARSER, survives
from tests.fuzz.strategies import NASTY, SCRIPTS, mutated, spoilt

VALUES = compose([])
LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{key}: &{key} [*{prior}, *{prior}]\n" for prior, key in zip("abcdefgh", "bcdefghi", strict=False)
)
YAMLS = (
    LAUGHS,
    "[" * 100_000,
    "a: !!python/object/apply:os.system [id]",
    "!!python/name:os.system",
    "a: 1:1:1:1:1:1" + ":1" * 5000,
    "a: " + "9" * 5000,
    "a: 2001-99-99",
    "a: !!binary x",
    "a: !!timestamp x",
    "a: !!int x",
    "a: !!float x",
    "? [a]\n: b",
    "a: 1\na: 2",
    "<<: 1",
    "a: !!set {b}",
    "1: 2",
    "\ufeffa: b",
    'a: "\\ud800"',
    "a: .nan",
    "%YAML 9.9\n---\na",
    "--- a\n--- b",
    "a: *b",
    "- !!omap [a]",
)
PARTS = ("model", "stream", "trainable", "regularizer", "merging", "schedule", "meta_schedule", "optimizer")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


SMALL = {"seed": 0, "label": "x", "runtime": {"device": "cpu", "allow_targets": []}, "optimizer": {"lr": 1e-05}}


def with_files(test: Any) -> Any:
    for text in YAMLS:
        test = example(data=text.encode())(test)
    return test


def as_yaml(document: Any) -> bytes:
    try:
        return yaml.safe_dump(document, allow_unicode=True).encode(errors="replace")
    except yaml.YAMLError:
        return b"a: b"


@PARSER
@given(
    data=mutated(SMALL).map(as_yaml)
    | spoilt(as_yaml(SMALL))
    | st.text("ab:-?[]{}&*!|>'\"%@`#\n \t0.", max_size=30).map(str.encode)
)
@with_files
def test_yaml(root: Path, data: bytes) -> None:
    file = put(root / "config.yaml", data)
    values = survives(root, lambda: read_yaml(file))
    if values is not None:
        again = survives(root, lambda: read_yaml(put(root / "again.yaml", yaml.safe_dump(values, sort_keys=False))))
        assert repr(again) == repr(values)
    survives(root, lambda: read_config(file.parent))


@HEAVY
@given(values=mutated(VALUES))
def test_replayed_configurations(root: Path, values: Any) -> None:
    file = put(root / "stored" / "config.yaml", json.dumps(values))

    def replay() -> None:
        config = resolve(compose([], file)).config
        for part in ("trainable", "regularizer", "merging", "schedule", "meta_schedule", "optimizer"):
            survives(root, lambda: build(part, getattr(config, part), config.runtime.allow_targets))  # noqa: B023
        assert not config.runtime.allow_targets

    survives(root, replay)


KEYS = (
    "seed",
    "run.dir",
    "method",
    "trainable",
    "optimizer.lr",
    "stream.adaptation",
    "model",
    "~seed",
    "+x",
    "++a.b",
    "label",
    "hydra",
)
TEXTS = st.sampled_from([each for each in NASTY if isinstance(each, str)]) | SCRIPTS


@HEAVY
@given(overrides=st.lists(st.builds("{}={}".format, st.sampled_from(KEYS), TEXTS) | TEXTS, max_size=3))
@example(["seed=" + "[" * 2000])
@example(["run.dir='a\0b'"])
@example(["label=${oc.env:HOME"])
def test_overrides(root: Path, overrides: list[str]) -> None:
    survives(root, lambda: resolve(compose(overrides)))


@PARSER
@given(override=st.builds("{}={}".format, st.sampled_from(KEYS), TEXTS) | TEXTS)
def test_overrides_are_parsed(root: Path, override: str) -> None:
    survives(root, lambda: parse([override]))


TARGETS = (
    "os.system",
    "builtins.eval",
    "fomo.cli.main",
    "fomo.__main__.main",
    "fomo.system.writing.write_json",
    "fomo.config.factory.build",
    "fomo.cli.os.system",
    "streams.prepare.source.extract",
    "streams.prepare.download.fetch",
    "methods.merging.reading.store",
    "fomo.cli.check.find",
    "methods.lora.torch.load",
    "methods.optimizers.from_timm.__globals__",
    "fomo.model.pocket.__globals__",
    "fomo.Method.__subclasses__",
    "fomo.config.compose.hydra_compose",
    "streams.plan.NamedPlan",
    "streams.prepare.source.shutil.rmtree",
)


@PARSER
@given(part=st.sampled_from(PARTS), target=st.sampled_from(TARGETS) | TEXTS, lazy=st.booleans())
def test_targets(root: Path, part: str, target: str, lazy: bool) -> None:
    """Nothing but what the options of a group name is built, and nothing is imported to find that out."""
    with pytest.raises(FomoError):
        build(part, {"_target_": target, "_partial_": lazy, "path": str(root / "x"), "command": "id"})


@pytest.mark.parametrize("key", ["defaults", "hydra"])
def test_a_stored_configuration_does_not_have_hydra_read_elsewhere(key: str, tmp_path: Path) -> None:
    file = put(tmp_path / "config.yaml", yaml.safe_dump(VALUES | {key: {"searchpath": ["pkg://antigravity"]}}))
    with pytest.raises(FomoError, match=key):
        compose([], file)


@pytest.mark.parametrize("value", ["${oc.env:HOME}", "x ${seed}", "${oc.decode:1}", "${hydra:job}"])
def test_a_stored_configuration_reads_no_environment(value: str, tmp_path: Path) -> None:
    file = put(tmp_path / "config.yaml", yaml.safe_dump(VALUES | {"label": value}))
    with pytest.raises(FomoError, match="resolved"):
        compose([], file)


def test_a_stored_configuration_does_not_say_whose_code_runs(tmp_path: Path) -> None:
    values = VALUES | {"runtime": VALUES["runtime"] | {"allow_targets": ["os"]}}
    file = put(tmp_path / "config.yaml", yaml.safe_dump(values))
    with pytest.raises(FomoError, match=r"code of 'os'.*runtime.allow_targets=\[os\]"):
        compose([], file)
    assert compose(["runtime.allow_targets=[os]"], file)["runtime"]["allow_targets"] == ["os"]


@pytest.mark.parametrize("place", ["/tmp/elsewhere", "../up", "a/../../b"])
def test_a_stored_configuration_does_not_say_where_to_write(place: str, tmp_path: Path) -> None:
    file = put(tmp_path / "config.yaml", yaml.safe_dump(VALUES | {"run": {"dir": place}}))
    with pytest.raises(FomoError, match=r"run\.dir=DIR"):
        compose([], file)
    assert compose(["run.dir=here"], file)["run"]["dir"] == "here"


def test_a_run_is_replayed_into_its_own_folder(tmp_path: Path) -> None:
    file = put(tmp_path / "config.yaml", yaml.safe_dump(VALUES | {"run": {"dir": str(tmp_path)}}))
    assert compose([], file)["run"]["dir"] == str(tmp_path)
