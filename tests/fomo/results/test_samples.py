"""Which samples are right, kept in bits; and the bootstrap over them against closed forms and an independent one."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from fomo.errors import FomoError
from fomo.report.uncertainty import uncertainties
from fomo.results.bootstrap import Scored, differences, intervals
from fomo.results.layout import SAMPLES
from fomo.results.samples import ABOUT, Hits, SampleFile, hits_of, keep_hits, read_samples
from fomo.results.scores import Evaluation, NotFinished, ScoredDataset, ScoredStream, Scores
from tests.fomo.helpers import status

DRAW = np.random.default_rng(5)


def right(share: float, num: int) -> np.ndarray:
    """So many hits, mixed."""
    return np.random.default_rng(num).permutation(np.arange(num) < round(share * num))


def retrieval(num: int = 40) -> Hits:
    captions = np.arange(num, dtype=np.uint16) % 5 + 1
    return Hits(right(0.6, num), right(0.4, int(captions.sum())), captions)


HITS = {
    "new": Hits(right(0.3, 500)),
    "newer": Hits(right(0.8, 77)),
    "old": Hits(right(0.5, 1001)),
    "found": retrieval(),
}


def scored(folder: Path, hits: Mapping[str, Hits] = HITS) -> Scored:
    """A finished run of one update with these hits after it, and all wrong before."""
    roles = {name: "retention" if name in ("old", "found") else "adaptation" for name in hits}
    kinds = {
        name: ("classification", "accuracy") if of.text is None else ("retrieval", "recall@5")
        for name, of in hits.items()
    }
    datasets = {name: ScoredDataset(roles[name], *kinds[name], len(of.image)) for name, of in hits.items()}
    sizes = {name: len(of.image) for name, of in hits.items()}
    values = {name: of.score for name, of in hits.items()}
    evaluations = (Evaluation(0, dict.fromkeys(hits, 0.0), {}, sizes), Evaluation(1, values, {}, sizes))
    scores = Scores(folder, ScoredStream("made_up", "", "d" * 64), "test", (), 1, datasets, evaluations)
    return Scored(scores, SampleFile("test", "d" * 64, {"1": dict(hits)}))


@settings(max_examples=30)
@given(st.lists(st.lists(st.booleans(), min_size=1, max_size=40), min_size=1, max_size=3))
def test_bits_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, rows: list[list[bool]]) -> None:
    folder = tmp_path_factory.mktemp("bits")
    hits = {f"set_{number}": Hits(np.array(row)) for number, row in enumerate(rows)}
    run = scored(folder, hits)
    keep_hits(run.scores, "0", hits)
    keep_hits(run.scores, "1 in full", hits)
    found = read_samples(folder)
    assert list(found.evaluations) == ["0", "1 in full"] and found.data_sha256 == "d" * 64
    for each in found.evaluations.values():
        assert {name: of.image.tolist() for name, of in each.items()} == {
            name: of.image.tolist() for name, of in hits.items()
        }


def test_retrieval_comes_back_with_its_captions_and_a_bit_takes_a_bit(tmp_path: Path) -> None:
    run = scored(tmp_path)
    for task in ("0", "1"):
        keep_hits(run.scores, task, HITS)
    found = hits_of(run.scores, read_samples(tmp_path), run.scores.evaluations[1])
    assert all((found[name].rows == HITS[name].rows).all() for name in HITS)
    of_tensors = load_file(tmp_path / SAMPLES)
    assert of_tensors["1/old/image"].nbytes == 126  # 1,001 samples
    assert set(of_tensors) == {f"{t}/{n}/image" for t in "01" for n in HITS} | {f"{t}/found/text" for t in "01"} | {
        "captions/found"
    }


def test_an_evaluation_that_is_made_again_takes_the_place_of_its_own(tmp_path: Path) -> None:
    run = scored(tmp_path)
    keep_hits(run.scores, "1", {"new": Hits(np.zeros(500, bool))})
    keep_hits(run.scores, "1", HITS)
    before = (tmp_path / SAMPLES).read_bytes()
    keep_hits(run.scores, "1", HITS)
    assert (tmp_path / SAMPLES).read_bytes() == before and set(read_samples(tmp_path).evaluations) == {"1"}


def test_bits_of_other_scores_or_data_are_refused(tmp_path: Path) -> None:
    run = scored(tmp_path)
    with pytest.raises(NotFinished, match="keep_samples=true"):
        read_samples(tmp_path)
    with pytest.raises(NotFinished, match="no bits of the evaluation '0'"):
        hits_of(run.scores, run.samples, run.scores.evaluations[0])
    other = replace(run.scores.evaluations[1], scores={**run.scores.evaluations[1].scores, "old": 51.0})
    with pytest.raises(FomoError, match="do not give the score of 'old' in the evaluation '1'"):
        hits_of(run.scores, run.samples, other)
    with pytest.raises(FomoError, match="of other data"):
        hits_of(run.scores, replace(run.samples, data_sha256="e" * 64), run.scores.evaluations[1])
    keep_hits(run.scores, "1", HITS)
    with pytest.raises(FomoError, match="of other data than the run"):
        keep_hits(replace(run.scores, split="validation"), "1", HITS)


def about(**changes: Any) -> dict[str, str]:
    return {ABOUT: json.dumps({"schema": "fomo.samples/1", "split": "test", "data_sha256": "", "bits": {}} | changes)}


BYTE = np.zeros(1, np.uint8)
BROKEN: dict[str, Callable[[Path], Any]] = {
    "nothing": lambda path: path.write_bytes(b""),
    "no tensors": lambda path: path.write_bytes(b"\xff" * 64),
    "no header": lambda path: save_file({"a": BYTE}, path),
    "another schema": lambda path: save_file({}, path, about(schema="fomo.samples/2")),
    "sizes that are no mapping": lambda path: save_file({}, path, about(bits=[3])),
    "a size below 0": lambda path: save_file({"1/a/image": BYTE}, path, about(bits={"1/a/image": -1})),
    "a split that is no word": lambda path: save_file({}, path, about(split=3)),
    "a tensor too many": lambda path: save_file({"1/a/image": BYTE}, path, about()),
    "a tensor that is missing": lambda path: save_file({}, path, about(bits={"1/a/image": 3})),
    "too few bytes": lambda path: save_file({"1/a/image": BYTE}, path, about(bits={"1/a/image": 9})),
    "another type": lambda path: save_file({"1/a/image": np.zeros(1)}, path, about(bits={"1/a/image": 3})),
    "bits beyond": lambda path: save_file({"1/a/image": BYTE + 1}, path, about(bits={"1/a/image": 3})),
    "no images": lambda path: save_file({"1/a/text": BYTE}, path, about(bits={"1/a/text": 3})),
    "no bits": lambda path: save_file({"1/a/image": BYTE[:0]}, path, about(bits={"1/a/image": 0})),
    "an odd name": lambda path: save_file({"x/a/image": BYTE}, path, about(bits={"x/a/image": 3})),
    "captions of others": lambda path: save_file(
        {"1/a/image": BYTE, "1/a/text": BYTE, "captions/a": np.ones(2, np.uint16)},
        path,
        about(bits={"1/a/image": 2, "1/a/text": 3}),
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_damaged_file_is_an_error_that_names_it(fault: str, tmp_path: Path) -> None:
    BROKEN[fault](tmp_path / SAMPLES)
    with pytest.raises(FomoError, match=r"samples\.safetensors"):
        read_samples(tmp_path)


def test_the_interval_has_the_width_of_the_binomial(tmp_path: Path) -> None:
    """Of h hits in n samples the bootstrap's variance is h/n·(1 − h/n)/n; of a mean over datasets theirs add up."""
    found = intervals(scored(tmp_path, {"new": HITS["new"], "newer": HITS["newer"], "old": HITS["old"]}), 20_000)
    variances = {name: (p := of.image.mean()) * (1 - p) / len(of.image) for name, of in HITS.items()}
    deviations = {"ka": math.sqrt(variances["new"] + variances["newer"]) / 2, "zs": math.sqrt(variances["old"])}
    for name, deviation in deviations.items():
        width = found[name].high - found[name].low
        assert width == pytest.approx(100 * 2 * 1.96 * deviation, rel=0.05)
        assert found[name].low < found[name].value < found[name].high


def by_hand(hits: list[Mapping[str, Hits]], repeats: int) -> np.ndarray:
    """Draws numbers of samples and looks each up: KA, ZS and GM of each run, [repeats, runs, 3]."""
    found = np.zeros((repeats, len(hits), 3))
    owners = {
        name: np.repeat(np.arange(len(of.image)), of.captions)
        for name, of in hits[0].items()
        if of.captions is not None
    }
    for repeat in range(repeats):
        scores: list[dict[str, float]] = [{} for _ in hits]
        for name, of in hits[0].items():
            rows = DRAW.integers(0, len(of.image), len(of.image))
            for run, its in zip(scores, hits, strict=True):
                run[name] = 100 * its[name].image[rows].mean()
                if (text := its[name].text) is not None:
                    drawn = np.concatenate([np.flatnonzero(owners[name] == row) for row in rows])
                    run[name] = (run[name] + 100 * text[drawn].mean()) / 2
        for number, run in enumerate(scores):
            ka, zs = np.mean([run["new"], run["newer"]]), np.mean([run["old"], run["found"]])
            found[repeat, number] = ka, zs, math.sqrt(ka * zs)
    return found


def better(hits: Hits, by: int) -> Hits:
    """The same, and the first so many wrong ones right."""
    image = hits.image.copy()
    image[np.flatnonzero(~image)[:by]] = True
    return replace(hits, image=image)


def test_intervals_and_differences_are_those_of_an_independent_bootstrap(tmp_path: Path) -> None:
    """Two runs on the same samples: what both get right or wrong does not widen their difference."""
    other = {name: better(of, 15) for name, of in HITS.items()}
    one, two = scored(tmp_path / "a"), scored(tmp_path / "b", other)
    drawn = by_hand([HITS, other], 1500)
    own, compared = intervals(one, 20_000), differences(two, one, 20_000)
    for number, name in enumerate(("ka", "zs", "gm")):
        expected = np.percentile(drawn[:, 0, number], (2.5, 97.5))
        assert [own[name].low, own[name].high] == pytest.approx(expected, abs=0.4)
        expected = np.percentile(drawn[:, 1, number] - drawn[:, 0, number], (2.5, 97.5))
        assert [compared[name].low, compared[name].high] == pytest.approx(expected, abs=0.25)
        assert compared[name].differs and compared[name].value > 0
        assert compared[name].high - compared[name].low < own[name].high - own[name].low


def test_a_run_does_not_differ_from_itself(tmp_path: Path) -> None:
    run = scored(tmp_path)
    for each in differences(run, run).values():
        assert each == (0, 0, 0) and not each.differs


def test_runs_on_other_samples_are_no_pair(tmp_path: Path) -> None:
    fewer = {**HITS, "old": Hits(right(0.5, 1000))}
    with pytest.raises(FomoError, match="not scored on the same samples"):
        differences(scored(tmp_path), scored(tmp_path, fewer))


def written(folder: Path, hits: Mapping[str, Hits], keeps: bool = True) -> Path:
    folder.mkdir()
    run = scored(folder, hits)
    run.scores.write()
    if keeps:
        run.samples.write(folder)
    return folder


def test_the_command_shows_them_and_says_what_they_are_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = {name: better(of, 15) for name, of in HITS.items()}
    runs = [written(tmp_path / "a", HITS), written(tmp_path / "b", other), written(tmp_path / "c", HITS, keeps=False)]
    assert status("score", "--bootstrap", *map(str, runs)) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Over test samples, not seeds" in shown and "≠" in shown and "c: " in shown and "keep_samples=true" in shown
    assert status("score", "--bootstrap", "--json", *map(str, runs)) == 0
    a, b, c = (each["over_test_samples"] for each in json.loads(capsys.readouterr().out))
    assert a["against_first"] is None and b["against_first"]["ka"]["differs"] is True and c["intervals"] is None
    assert a["intervals"]["ka"]["value"] == pytest.approx((30 + 100 * 62 / 77) / 2)


def test_what_is_not_finished_has_no_interval(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert uncertainties([]) == []
    run = scored(tmp_path).scores
    replace(run, evaluations=run.evaluations[:1]).write()
    assert status("score", "--bootstrap", "--json", str(tmp_path)) == 2
    (found,) = json.loads(capsys.readouterr().out)
    assert found["over_test_samples"]["intervals"] is None and "0 of 1 updates" in found["over_test_samples"]["problem"]


def test_domains_are_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = scored(tmp_path).scores
    named = {
        name: replace(each, domain="signs, drawn" if each.role == "adaptation" else "")
        for name, each in run.datasets.items()
    }
    replace(run, datasets=named).write()
    assert status("score", str(tmp_path), "--metrics", "domains,last", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["metrics"]["domain:signs"] == found["metrics"]["domain:drawn"] == found["metrics"]["ka"]
    assert status("score", str(tmp_path), "--metrics", "domain:sea") == 0
    assert "domain:sea" in capsys.readouterr().out
