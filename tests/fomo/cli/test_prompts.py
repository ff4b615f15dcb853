"""Templates that are searched for on the validation split, and evaluated with in a track of their own."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.schema import Resolved, resolve
from fomo.data.samples import Dataset, Samples
from fomo.errors import FomoError
from fomo.evaluation.template_search import SearchSettings
from fomo.evaluation.templates import read_templates
from fomo.evaluation.zero_shot import evaluate
from fomo.report.leaderboard import leaderboard
from fomo.results.config_file import comparable, sha256_without_seed
from fomo.running.folder import state_of
from fomo.running.prompts import Sought, file_of, find, sought
from fomo.running.run import prepare
from fomo.running.zero_shot import opened, zero_shot
from tests import tiny
from tests.fomo.helpers import error_of, put, status
from tests.plugin import install, seen

QUICK = SearchSettings(rounds=2, beam=2, tries=6, confirm=2, errors=6)
FLAGS = ("rounds=2", "beam=2", "tries=6", "confirm=2", "errors=6")
OPTIONS = tuple(word for flag in FLAGS for word in f"--{flag}".split("="))
NAMES = ("pocket_flags", "pocket_solids", "pocket_counting")
FIRST = "a photo of the flag of {}"


def configured(*overrides: str) -> Any:
    return resolve(compose([*tiny.TINY, "evaluation=validation", *overrides])).config


def asked(*names: str, settings: SearchSettings = QUICK, proposer: str = "grammar") -> Sought:
    return sought(configured(), names, settings, proposer)


def written(path: Path, templates: dict[str, Any], **more: Any) -> Path:
    return put(path, json.dumps({"schema": "fomo.prompts/1", "templates": templates, **more}))


def own(path: Path, **changes: list[str]) -> Path:
    """A file for the tiny stream: a template each, but for what is given."""
    return written(path, {**{name: ["a drawing of {}."] for name in NAMES}, **changes})


def with_own(path: Path, *overrides: str) -> Resolved:
    return tiny.resolved(f"evaluation.templates={path}", *overrides)


def test_a_search_writes_a_file_that_scores_as_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found.json"
    words = ("datasets=pocket_solids", "--ensemble", "2", *OPTIONS, "--out", str(out))
    assert status("prompts", "search", *tiny.TINY, *words, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content == json.loads(out.read_text())
    assert set(content["templates"]) == set(NAMES) and content["templates"]["pocket_flags"] == [FIRST]
    about = content["found"]["pocket_solids"]
    assert about["right"] >= about["right_best"] >= about["right_first"]
    assert 1 < about["num_tried"] <= 3 + 1 + 2 * 2 * 2 and about["num_texts"] >= 10 * about["num_tried"]
    config = configured(f"evaluation.templates={out}")
    (score,) = zero_shot(config, opened(config, ["pocket_solids"]))
    assert score.num_samples == about["num_images"]
    assert score.score == pytest.approx(100 * about["right"] / about["num_images"])
    (first,) = zero_shot(configured(), opened(configured(), ["pocket_solids"]))
    assert first.score == pytest.approx(100 * about["right_first"] / about["num_images"])
    assert status("prompts", "search", *tiny.TINY, *words) != 0, "a file is not written over"


def test_the_table_says_how_to_use_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "found.json"
    assert status("prompts", "search", *tiny.TINY, "datasets=pocket_solids", *OPTIONS, "--out", str(out)) == 0
    shown = capsys.readouterr().out
    assert f"evaluation.templates={out}" in shown and "pocket_solids" in shown and "pocket_flags" not in shown


def poisoned(dataset: Dataset) -> Dataset:
    """The dataset; nobody may open its test split."""

    def split(name: str) -> Samples:
        assert name != "test"
        return dataset.split(name)

    return Dataset(dataset.card, split)


def test_a_poisoned_test_split_changes_nothing_and_the_seed_repeats_it() -> None:
    clean = asked("pocket_solids")
    bad = replace(clean, datasets={name: poisoned(each) for name, each in clean.datasets.items()})
    found = [file_of(of, list(find(of))) for of in (clean, bad)]
    assert found[0] == found[1]
    other = replace(clean, settings=replace(QUICK, seed=1))
    assert [each.num_texts for each in find(other)] != [found[0]["found"]["pocket_solids"]["num_texts"]]


def test_templates_of_a_file_are_those_of_a_card(tmp_path: Path) -> None:
    """The same scores as of a stream whose cards have these templates as their own, all in use."""
    templates = {name: [f"a good picture of {name} {{}}.", "{} on paper"] for name in NAMES}
    with_file = prepare(with_own(written(tmp_path / "own.json", templates)))
    changed = {
        name: replace(each, card=replace(each.card, templates=tuple(templates[name]), primers={}))
        for name, each in with_file.stream.datasets.items()
    }
    stream = replace(
        with_file.stream,
        adaptation={name: changed[name] for name in with_file.stream.adaptation},
        retention={name: changed[name] for name in with_file.stream.retention},
    )
    config = with_file.resolved.config
    cards = replace(config.evaluation, templates="all", prompts=None)
    with_cards = evaluate(with_file.model, stream, 0, cards, config.runtime)
    assert evaluate(with_file.model, with_file.stream, 0, config.evaluation, config.runtime) == with_cards
    assert evaluate(with_file.model, with_file.stream, 0, replace(cards, templates="first"), config.runtime).scores != (
        with_cards.scores
    )


def test_a_run_goes_on_with_the_same_templates_alone_and_needs_the_file_no_more(tmp_path: Path) -> None:
    file = own(tmp_path / "own.json")
    run = tiny.run(tmp_path / "run", f"evaluation.templates={file}", "budget.steps=2")
    stored = yaml.safe_load((run / "config.yaml").read_text())
    assert stored["evaluation"]["templates"] == "file"
    assert stored["evaluation"]["prompts"] == {name: ["a drawing of {}."] for name in sorted(NAMES)}
    moved = own(tmp_path / "elsewhere" / "moved.json")
    same = with_own(moved, "budget.steps=2")
    assert comparable(same.values) == comparable(stored), "where the file lies is no matter"
    file.unlink()
    moved.unlink()
    assert resolve(stored).sha256 == same.sha256
    other = own(tmp_path / "other.json", pocket_flags=["{}"])
    words = (*tiny.TINY, f"evaluation.templates={other}", "budget.steps=2", f"run.dir={run}")
    with pytest.raises(FomoError, match=r"holds another experiment .*evaluation.prompts.pocket_flags"):
        state_of(run, resolve(compose([*words])))


def test_other_prompts_are_never_ranked_together(tmp_path: Path) -> None:
    file = own(tmp_path / "own.json")
    other = own(tmp_path / "other.json", pocket_flags=["{}"])
    again = own(tmp_path / "again.json")
    settings = [[], *([f"evaluation.templates={path}"] for path in (file, other, again))]
    runs = [
        tiny.run(tmp_path / f"run{number}", *words, "budget.steps=2", f"seed={number}")
        for number, words in enumerate(settings)
    ]
    board = leaderboard(runs)
    tracks = {entry.track: entry.seeds for entry in board.entries}
    assert sorted(tracks.values()) == [(0,), (1, 3), (2,)]
    hashes = {track.split("prompts ")[1].split(",")[0] for track in tracks}
    assert "first" in hashes and all(each == "first" or each.startswith("file ") for each in hashes)
    assert len(hashes) == 3


def test_a_configuration_without_a_file_has_the_hash_that_it_had() -> None:
    values = dict(tiny.resolved().values)
    older = {**values, "evaluation": {key: value for key, value in values["evaluation"].items() if key != "prompts"}}
    assert "prompts" not in comparable(values)["evaluation"]
    assert sha256_without_seed(values) == sha256_without_seed(older)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda path: own(path, pocket_flag=["{}"]), "it has some for pocket_flag"),
        (lambda path: written(path, {"pocket_flags": ["{}"]}), "it has none for pocket_solids, pocket_counting"),
        (lambda path: own(path, pocket_flags=["a flag"]), "'pocket_flags': bad prompt template 'a flag'"),
        (lambda path: own(path, pocket_flags=["{} {}"]), "exactly one {}"),
        (lambda path: own(path, pocket_flags=["{}\n"]), "one line"),
        (lambda path: own(path, pocket_flags=["${seed} {}"]), "without ${"),
        (lambda path: own(path, pocket_flags=["{}", "{}"]), "stands twice"),
        (lambda path: own(path, pocket_flags=[]), "one at least"),
        (lambda path: own(path, pocket_flags=[3]), "a list of strings"),  # type: ignore[list-item]
        (lambda path: written(path, {}), "no object of lists by dataset"),
        (lambda path: written(path, {"a": ["{}"]}, template={}), "Did you mean 'templates'"),
        (lambda path: put(path, '{"schema": "fomo.stream/1"}'), "not a file of prompt templates"),
        (lambda path: put(path, "[3"), "own.json"),
        (lambda path: path, "own.json"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_before_the_run(
    made: Callable[[Path], Path], said: str, tmp_path: Path
) -> None:
    with pytest.raises(FomoError) as caught:
        prepare(with_own(made(tmp_path / "own.json")))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["datasets=pocket_flag"], "Did you mean 'pocket_flags'"),
        (["datasets="], "with commas between"),
        (["evaluation.split=test"], "test data chooses nothing"),
        (["--proposer", "gramar"], "Did you mean 'grammar'"),
        (["--beam", "0"], "--beam 0"),
        (["model=pocke"], "Did you mean 'pocket'"),
        (["--out", "found.yaml"], "has to end in .json"),
        (["--out", "nowhere/found.json"], "the folder 'nowhere' is not there"),
        (["--out", "there.json"], "exists: choose another name"),
    ],
)
def test_what_cannot_be_searched_is_said_first(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "there.json", "{}")
    given = words if "--out" in words else [*words, "--out", "new.json"]
    assert said in error_of(capsys, "prompts", "search", *tiny.TINY, *given)
    assert not (tmp_path / "new.json").exists()


def test_retrieval_and_sets_without_validation_images_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = asked("pocket_flags").datasets["pocket_flags"]
    cards = [replace(flags.card, kind="retrieval"), replace(flags.card, name="bare", num_samples={"test": 4})]
    held = {"pocket_flags": replace(flags, card=cards[0]), "bare": replace(flags, card=cards[1])}

    def only(*names: str) -> None:
        plan = SimpleNamespace(name="mine", adaptation=names, retention=(), opened=lambda of: {n: held[n] for n in of})
        monkeypatch.setattr(factory, "stream_plan", lambda config: plan)

    only("pocket_flags")
    with pytest.raises(FomoError, match="no dataset of the stream 'mine' is classified"):
        asked()
    only(*held)
    with pytest.raises(FomoError, match="'pocket_flags' is of kind 'retrieval'"):
        asked("pocket_flags")
    with pytest.raises(FomoError, match=r"'bare' has no validation images.*datasets=NAME"):
        asked()


SOURCE = """
def emoji(template, failures, history, step_size, rng):
    return [f"an emoji of {{}} {len(history)}", template]

def broken(template, failures, history, step_size, rng):
    return [1 / 0]

def empty(template, failures, history, step_size, rng):
    return ["nothing"]
"""


def test_a_plug_in_proposes_and_what_it_does_wrong_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("emoji", "broken", "empty")
    install(tmp_path / "site", "writer", SOURCE, {f"prompts.{name}": name for name in names})
    with seen(tmp_path / "site", monkeypatch):
        (found,) = find(asked("pocket_solids", proposer="emoji"))
        assert found.num_tried == 4 + 2 * 2
        content = file_of(asked("pocket_solids", proposer="emoji"), [found])
        assert content["about"]["proposer"] == "emoji of writer 1.2"
        for name, said in (("broken", "ZeroDivisionError"), ("empty", "bad prompt template 'nothing'")):
            with pytest.raises(FomoError, match=f"plug-in fomo.prompts '{name}' of writer 1.2.*{said}"):
                list(find(asked("pocket_solids", proposer=name)))


def test_what_is_written_can_be_read(tmp_path: Path) -> None:
    path = own(tmp_path / "own.json", pocket_flags=["größe {}"])
    assert read_templates(path)["pocket_flags"] == ["größe {}"]
    assert list(read_templates(path)) == sorted(NAMES)
