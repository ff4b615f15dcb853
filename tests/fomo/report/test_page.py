"""The HTML page of a run: whole, alone, and harmless."""

import base64
import io
import json
import re
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from fomo.errors import FomoError
from fomo.report.page import write_report
from fomo.report.tables import result_table
from fomo.results.config_file import comparable, read_config
from fomo.results.stream import read_stream
from fomo.results.thumbnails import Thumbnail, write_thumbnails
from fomo.system.digest import json_digest
from tests.fomo.helpers import DATASETS, encoded, error_of, evaluation, picture, put, run_folder, status

WHOLE = (evaluation(0, 10, 20, 64), evaluation(1, 30.5, 20, 60), evaluation(2, 40, 32, 36))
NASTY = "<script>alert(\"x\")</script> & 'quotes'"


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.metas: list[str | None] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        self.metas += [value for name, value in attrs if tag == "meta" and name in ("name", "http-equiv")]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_the_page_shows_the_scores_the_ledger_and_the_configuration(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, *WHOLE, seed=17)
    text = " ".join(page_of(folder).text.split())
    for words in ("made_up", "seed 17", "2 of 2 updates", "not budgeted", "36.0", "30.5", "new_a", "retention"):
        assert words in text
    assert "6 of 7 steps, 99.5 of 100 MAFs" in text and "pretraining 30 (71.4 %), update 12" in text
    assert "not finished" not in text


def test_the_table_names_the_metrics(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, *WHOLE)
    assert str(result_table(folder).caption).startswith("zero-shot top-1 accuracy in percent")
    content = json.loads((folder / "scores.json").read_text())
    content["datasets"]["old"] |= {"kind": "retrieval", "metric": "recall@5"}
    put(folder / "scores.json", json.dumps(content))
    assert str(result_table(folder).caption).startswith("zero-shot top-1 accuracy or recall@5 in percent")


def test_the_paths_are_drawn_where_the_scores_are(tmp_path: Path) -> None:
    """Of the plane, KA 15, 25.25, 36 lie on an axis from 15 to 40, ZS on one from 35 to 65."""
    text = write_report(run_folder(tmp_path, *WHOLE)).read_text(encoding="utf-8")
    path, plane = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert path.count("<circle") == 9 and 'aria-label="KA, ZS and GM per update"' in path
    assert re.findall(r'<circle cx="(.*?)"', plane) == ["58.0", "208.1", "365.4"]
    assert "base" in plane and "update 2" in plane


def test_images_of_the_stream_are_inside_of_the_page(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, *WHOLE)
    assert "No images" in page_of(folder).text
    jpeg = base64.b64encode(encoded(picture(1), "JPEG")).decode()
    images = [Thumbnail(1, "new_a", "x", jpeg), Thumbnail(2, "new_b", NASTY, jpeg), Thumbnail(0, "old", "", jpeg)]
    write_thumbnails(folder, images)
    page = page_of(folder)
    assert (
        page.links.count(f"data:image/jpeg;base64,{jpeg}") == 3 and NASTY in page.text and "No images" not in page.text
    )
    put(folder / "thumbnails.json", json.dumps({"images": [asdict(images[0]) | {"jpeg": '/9j/"onerror="'}]}))
    with pytest.raises(FomoError, match=r"thumbnails\.json: not the thumbnails of a run"):
        write_report(folder)


def test_the_page_needs_no_other_file_and_no_network(tmp_path: Path) -> None:
    page = page_of(run_folder(tmp_path, *WHOLE))
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert not {"script", "link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert not re.search(r"https?://|@import|url\(", text)


def test_names_are_escaped(tmp_path: Path) -> None:
    datasets = {f"{name}{NASTY}": {"role": role, "num_samples": 3} for name, role in DATASETS.items()}
    steps = []
    for step in WHOLE:
        steps.append(step | {"scores": {f"{name}{NASTY}": score for name, score in step["scores"].items()}})
    folder = run_folder(
        tmp_path,
        *steps,
        label=NASTY,
        datasets=datasets,
        marks=[NASTY],
        stream={"name": NASTY, "sha256": ""},
    )
    page = page_of(folder)
    assert "script" not in page.tags and page.text.count(NASTY) >= 6


def test_the_page_of_an_unfinished_run_says_so(tmp_path: Path) -> None:
    for number in (1, 2):
        page = page_of(run_folder(tmp_path / str(number), *WHOLE[:number]))
        text = " ".join(page.text.split())
        assert f"Unfinished. {number - 1} of 2 updates" in text and "not finished" in text
        assert "refresh" in page.metas
    assert "refresh" not in page_of(run_folder(tmp_path / "whole", *WHOLE)).metas


def test_scores_of_a_task_without_samples_are_left_open(tmp_path: Path) -> None:
    steps = [step | {"tasks": {"1": 12.5}} for step in WHOLE]
    assert "–" in page_of(run_folder(tmp_path, *steps)).text


def test_writing_again_gives_the_same_page_and_leaves_no_scratch(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, *WHOLE)
    first = write_report(folder).read_bytes()
    assert write_report(folder).read_bytes() == first
    assert not [path.name for path in folder.iterdir() if "partial" in path.name]


def test_a_run_without_an_evaluation_has_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match="nothing to report yet"):
        write_report(run_folder(tmp_path))


@pytest.mark.parametrize("name", ["config.yaml", "stream.json", "scores.json"])
def test_a_file_that_is_missing_is_named(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_folder(tmp_path, *WHOLE)
    (folder / name).unlink()
    assert name in error_of(capsys, "report", str(folder))
    assert not (folder / "report.html").exists()


def test_the_command_prints_where_the_page_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = run_folder(tmp_path, *WHOLE)
    assert status("report", str(folder)) == 0
    assert capsys.readouterr().out.strip() == str(folder / "report.html")
    assert "is not a folder" in error_of(capsys, "report", str(tmp_path / "nowhere"))
    for place, words in ((tmp_path, "is a folder"), (tmp_path / "no" / "page.html", "there is no folder")):
        assert words in error_of(capsys, "report", str(folder), "--out", str(place))
    assert status("report", str(folder), "--out", str(tmp_path / "page.html")) == 0
    assert (tmp_path / "page.html").read_text() == (folder / "report.html").read_text()


def shown(folder: Path) -> str:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(result_table(folder))
    return console.export_text()


def test_the_table_shows_before_after_and_change(tmp_path: Path) -> None:
    rows = {row.split("│")[1].strip(): row for row in shown(run_folder(tmp_path, *WHOLE)).splitlines() if "│" in row}
    assert all(number in rows["new_a"] for number in ("10.0", "40.0", "+30.0"))
    assert all(number in rows["old"] for number in ("64.0", "36.0", "-28.0"))
    assert all(number in rows["GM: √(KA·ZS)"] for number in ("31.0", "36.0", "+5.0"))


def test_the_table_shows_a_label_as_it_is(tmp_path: Path) -> None:
    assert "trainable.x=[attn,mlp]" in shown(run_folder(tmp_path, *WHOLE, label="lora trainable.x=[attn,mlp]"))


@pytest.mark.parametrize("name", ["scores.json", "ledger.json", "config.yaml", "stream.json"])
def test_a_file_of_another_run_is_not_shown_as_the_run_s(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = with_hashes(run_folder(tmp_path / "mine", *WHOLE))
    other = run_folder(tmp_path / "other", *WHOLE[:2], WHOLE[2] | {"tasks": {"1": 99}}, seed=1, spent=1)
    put(other / "stream.json", json.dumps({"tasks": [["new_b+++y"], ["new_a+++x"]]}))
    write_report(folder)
    put(folder / name, (other / name).read_bytes())
    assert f"mine: {name} is not the " in error_of(capsys, "report", str(folder), "--out", str(tmp_path / "page.html"))
    assert f"mine: {name} is not the " in error_of(
        capsys, "report", str(folder), str(other), "--out", str(tmp_path / "both.html")
    )
    assert not (tmp_path / "page.html").exists() and "seed 0" not in (tmp_path / "both.html").read_text()


def with_hashes(folder: Path) -> Path:
    """A run whose card says what its configuration and its stream are."""
    hashes = {
        "config_sha256": json_digest(comparable(read_config(folder))),
        "stream_sha256": read_stream(folder).definition_sha256,
    }
    put(folder / "card.json", json.dumps(json.loads((folder / "card.json").read_text()) | hashes))
    return folder


def test_a_stream_without_tasks_is_refused(tmp_path: Path) -> None:
    folder = run_folder(tmp_path / "run", evaluation(0, 10, 20, 64))
    put(folder / "stream.json", "{}")
    with pytest.raises(FomoError, match=r"stream\.json: not the stream of a run"):
        write_report(folder)


STAGE = {
    "batch_size": 24,
    "steps": 6,
    "tasks": [1, 2],
    "training_seconds": 2.5,
    "evaluation_seconds": 1.0,
    "samples_per_second": 57.6,
    "flops_per_second": 2.5e9,
    "mfu": 0.31,
    "hfu": 0.42,
    "peak_flops_per_second": 1e10,
    "peak_source": "a <b>table</b>",
    "shares": {"data": 0.125, "<i>forward</i>": 0.875},
}


def with_stages(folder: Path, stages: object) -> Path:
    run_folder(folder, *WHOLE)
    card = json.loads((folder / "card.json").read_text())
    put(folder / "card.json", json.dumps(card | {"compute": {"stages": stages}}))
    return folder


def test_the_page_tells_where_the_time_went(tmp_path: Path) -> None:
    write_report(with_stages(tmp_path, [STAGE, STAGE | {"batch_size": 48, "tasks": [2, 2]}]))
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    text = " ".join(re.sub(r"</?t[dh][^>]*>", " ", html).split())
    for words in ("24 1–2 6 57.6 2.5 31.0 42.0 12.5 87.5", "48 2 6", "a &lt;b&gt;table", "&lt;i&gt;forward"):
        assert words in text
    assert "nothing was trained" in page_of(with_stages(tmp_path, [])).text
    assert "–" in page_of(with_stages(tmp_path, [STAGE | {"mfu": None}])).text


def test_the_page_says_where_the_run_was_and_what_was_left_out(tmp_path: Path) -> None:
    folder = with_stages(tmp_path, [STAGE])
    card = json.loads((folder / "card.json").read_text())
    about = {"device": "NVIDIA <H200>", "num_processes": 8, "peak_memory_gib": 1.5, "versions": {"torch": "2.14.1"}}
    put(folder / "card.json", json.dumps(card | about | {"left_out": {"no <caption>": 3}}))
    text = page_of(folder).text
    assert "NVIDIA <H200>, threads: 0, processes: 8, memory at most 1.5 GiB; torch 2.14.1." in text
    assert "Left out, as it could not be used: no <caption> 3." in text


@pytest.mark.parametrize(
    "stages",
    [
        7,
        [7],
        [{}],
        *([STAGE | {name: None}] for name in STAGE if name != "mfu"),
        [STAGE | {"mfu": "high"}],
        [STAGE | {"tasks": [1]}],
        [STAGE | {"steps": 0.5}],
    ],
)
def test_stages_that_are_none_are_refused(stages: object, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"card\.json: `compute\.stages` is not"):
        write_report(with_stages(tmp_path, stages))
