"""The reference's data: its splits, classes, prompts and captions, as folders and as tars."""

import io
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from tarfile import TarInfo
from typing import Any

import pytest
from PIL import Image, ImageOps

from fomo.data.card import PLAIN, SHOWN, DatasetCard
from fomo.data.importing.folder import folder_source
from fomo.data.importing.job import LEFT_OUT_FILE, bring_in
from fomo.data.importing.reference import MISSING, UNNAMED, reference_source
from fomo.data.importing.reference_info import read_info
from fomo.data.inspect.remarks import remarks
from fomo.data.shards import ShardSamples, open_dataset
from fomo.errors import FomoError
from tests.fomo.helpers import encoded, error_of, picture, put, status
from tests.fomo.tars import member, tar

INFO = Path(__file__).parents[5] / "shared" / "fomo_in_flux" / "info"
CLASSES = ["tabby cat", 'the "red" fox', "emu 🐦"]


def about(number: int, /, **changes: Any) -> dict[str, Any]:
    """An entry of class ``number`` as the reference writes it."""
    captions = {"default_caption": None, "synthetic_caption": None, "synthetic_merged_caption": None}
    primer = {"primer_caption": f"A photo of a {CLASSES[number]}, a type of animal."}
    return {"classname": CLASSES[number], "target": number} | captions | primer | changes


TRAIN = {
    "pets/a.v1/0.jpg": about(0, synthetic_caption=["a cat"], synthetic_merged_caption=["A photo of a cat.", "A cat."]),
    "pets/a.v1/1.jpg": about(1, default_caption="a fox sleeps", synthetic_merged_caption=["A photo of a fox."]),
    "pets/b/2.png": about(0),
    "pets/b/3.png": about(0),
}
TEST = {"pets/b/9.png": about(1)}


@pytest.fixture
def info(tmp_path: Path) -> Path:
    folder = tmp_path / "info"
    put(folder / "PETS_classnames.json", json.dumps(CLASSES))
    put(folder / "PETS_train.json", json.dumps(TRAIN))
    put(folder / "PETS_test.json", json.dumps(TEST))
    return folder


def image(path: str) -> bytes:
    return encoded(picture(int(Path(path).stem)), "JPEG" if path.endswith("jpg") else "PNG")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path in [*TRAIN, *TEST]:
        put(tmp_path / "root" / "PETS" / path, image(path))
    return tmp_path / "root"


def faded(number: int) -> Image.Image:
    image = picture(number)
    image.putalpha(100)
    return image


def plainly(data: bytes) -> bytes:
    return Image.open(io.BytesIO(data)).convert("RGB").tobytes()


def as_shown(data: bytes) -> bytes:
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright).convert("RGB").tobytes()


def pixels_by_file(folder: Path) -> dict[str, bytes]:
    """Pixels of all images by the name of their file, as a worker reads them."""
    dataset = open_dataset(folder)
    used = (dataset.split(split) for split, number in dataset.card.num_samples.items() if number)
    splits = [pickle.loads(pickle.dumps(split)) for split in used]
    return {Path(each.about(i)["path"]).name: each.image(i).tobytes() for each in splits for i in range(len(each))}


def imported(root: Path, info: Path, out: Path, name: str = "PETS", **options: Any) -> DatasetCard:
    return bring_in(reference_source(root, info, name, **options), out)


def listed(folder: Path) -> list[tuple[str, str]]:
    lines = (folder / LEFT_OUT_FILE).read_text().splitlines()
    return [(item["path"], item["reason"]) for item in map(json.loads, lines)]


def test_splits_classes_prompts_and_captions_are_the_references(root: Path, info: Path, tmp_path: Path) -> None:
    card = imported(root, info, tmp_path / "out")
    assert card.classes == tuple(CLASSES) and card.kind == "classification" and card.role == "unassigned"
    assert card.templates == ("A photo of a {}, a type of animal.",) and card.primers == {}
    assert card.num_samples == {"train": 4, "validation": 0, "test": 1}
    assert card.caption_kinds == ("default", "primer", "synthetic", "synthetic_merged")
    samples = ShardSamples(tmp_path / "out" / "PETS", "train")
    assert samples.targets.tolist() == [0, 1, 0, 0]
    assert [list(samples.captions(i)) for i in range(3)] == [["A photo of a cat.", "A cat."], ["a fox sleeps"], []]
    assert samples.captions(0, "synthetic") == ["a cat"] and samples.captions(0, "default") == []
    assert samples.captions(1, "synthetic_merged") == ["A photo of a fox."]
    assert samples.captions(2, "primer") == ["A photo of a tabby cat, a type of animal."]
    assert samples.about(3)["path"] == "pets/b/3.png" and samples.image(3).tobytes() == picture(3).tobytes()
    assert card.counts == {"class without any image": 1}


def test_images_are_read_as_the_reference_reads_them_and_those_of_a_users_folder_as_they_are_shown(
    root: Path, info: Path, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {"pets/a.v1/0.jpg": encoded(picture(0), "JPEG", exif=exif), "pets/b/9.png": encoded(faded(9))}
    for path, data in files.items():
        put(root / "PETS" / path, data)
    assert imported(root, info, tmp_path / "out").decoding == PLAIN
    bring_in(folder_source(root / "PETS" / "pets", "mine"), tmp_path / "out")
    for name, expected in (("PETS", plainly), ("mine", as_shown)):
        pixels = pixels_by_file(tmp_path / "out" / name)
        assert all(pixels[Path(path).name] == expected(data) for path, data in files.items())
        assert status("data", "verify", str(tmp_path / "out" / name), "--workers", "1") == 0


def test_an_import_from_before_images_were_read_so_is_remarked_on(root: Path, info: Path, tmp_path: Path) -> None:
    imported(root, info, tmp_path / "out")
    dataset = open_dataset(tmp_path / "out" / "PETS")
    earlier = replace(dataset, card=replace(dataset.card, decoding=SHOWN))
    for kind in ("classification", "retrieval"):
        now, before = (remarks(replace(each, card=replace(each.card, kind=kind))) for each in (dataset, earlier))
        assert [each for each in before if each not in now] == [
            "images are turned upright and laid on white, which the reference does not: import the dataset anew"
        ]


def test_a_tar_gives_the_same_bytes_as_a_folder(root: Path, info: Path, tmp_path: Path) -> None:
    imported(root, info, tmp_path / "out")
    paths = reversed([*TRAIN, *TEST])
    tar(tmp_path / "tars" / "PETS.tar", [(f"PETS/{path}", image(path)) for path in paths])
    imported(tmp_path / "tars", info, tmp_path / "other")
    one, other = (
        {path.name: path.read_bytes() for path in (tmp_path / o / "PETS").iterdir()} for o in ("out", "other")
    )
    assert one == other


def test_what_either_side_lacks_is_counted_and_listed(root: Path, info: Path, tmp_path: Path) -> None:
    (root / "PETS" / "pets/b/2.png").unlink()
    put(root / "PETS" / "pets/extra.jpg", picture(77))
    put(root / "PETS" / "README.txt", "no picture")
    put(root / "PETS" / "PETS_test_224" / "pets/b/9.png", picture(9))
    card = imported(root, info, tmp_path / "out")
    assert card.counts == {MISSING: 1, UNNAMED: 1, "class without any image": 1}
    assert card.num_samples["train"] == 3
    assert listed(tmp_path / "out" / "PETS") == [
        ("pets/extra.jpg", UNNAMED),
        ("pets/b/2.png", MISSING),
        (CLASSES[2], "class without any image"),
    ]


def test_a_tars_oddities_are_counted(info: Path, tmp_path: Path) -> None:
    good = [(f"PETS/{path}", image(path)) for path in [*TRAIN, *TEST]]
    odd: list[tuple[str | TarInfo, bytes]] = [
        ("../up.jpg", b"x"),
        ("OTHER/a.jpg", b"x"),
        (good[0][0], b"again"),
        (member("PETS/link.jpg", b"2", "/etc/passwd"), b""),
    ]
    tar(tmp_path / "root" / "PETS.tar", [*good, *odd])
    card = imported(tmp_path / "root", info, tmp_path / "out")
    assert card.num_samples == {"train": 4, "validation": 0, "test": 1}
    assert card.counts == {
        "path out of the root": 1,
        "tar member outside of its dataset's folder": 1,
        "name that stands twice in a tar": 1,
        "link in a tar": 1,
        "class without any image": 1,
    }


def test_pictures_that_cannot_be_used_are_counted(root: Path, info: Path, tmp_path: Path) -> None:
    put(root / "PETS" / "pets/b/2.png", b"")
    put(root / "PETS" / "pets/b/3.png", b"no picture")
    card = imported(root, info, tmp_path / "out")
    assert card.counts == {"empty file": 1, "broken image": 1, "class without any image": 1}


@pytest.mark.parametrize("path", ["../secret.png", "/etc/secret.png", "pets/../../secret.png"])
def test_the_json_never_leads_out_of_the_root(root: Path, info: Path, tmp_path: Path, path: str) -> None:
    put(root / "secret.png", picture(1))
    put(info / "PETS_test.json", json.dumps(TEST | {path: about(1)}))
    card = imported(root, info, tmp_path / "out")
    assert card.counts["path out of the root"] == 1 and card.num_samples["test"] == 1


def test_a_link_out_of_the_dataset_is_not_followed(root: Path, info: Path, tmp_path: Path) -> None:
    outside, inside = put(tmp_path / "outside.png", picture(5)), root / "PETS" / "pets/b/2.png"
    inside.unlink()
    inside.symlink_to(outside)
    assert imported(root, info, tmp_path / "out").counts["link out of the folder"] == 1


def test_texts_with_quotes_line_breaks_and_half_letters_come_in(root: Path, info: Path, tmp_path: Path) -> None:
    texts = ['a "quoted" one', "two\nlines\t+++", "🐦 𝕏", "half \ud800 of a letter", " "]
    put(info / "PETS_test.json", json.dumps({"pets/b/9.png": about(1, default_caption=texts)}))
    imported(root, info, tmp_path / "out")
    stored = ShardSamples(tmp_path / "out" / "PETS", "test").captions(0)
    assert stored == [*texts[:3], "half ? of a letter"]


def test_other_names_of_the_split_files(root: Path, info: Path, tmp_path: Path) -> None:
    (info / "PETS_train.json").rename(info / "PETS_train_mini.json")
    (info / "PETS_test.json").rename(info / "PETS_val.json")
    assert imported(root, info, tmp_path / "out").num_samples == {"train": 4, "validation": 0, "test": 1}


def test_a_dataset_may_have_a_test_split_alone(root: Path, info: Path, tmp_path: Path) -> None:
    (info / "PETS_train.json").unlink()
    assert imported(root, info, tmp_path / "out").num_samples == {"train": 0, "validation": 0, "test": 1}


def test_resized_copies_have_files_of_their_own(root: Path, info: Path, tmp_path: Path) -> None:
    small = {f"PETS_test_224/{path}": value for path, value in TEST.items()}
    put(info / "PETS_test_224.json", json.dumps(small))
    put(root / "PETS" / next(iter(small)), picture(9, (4, 4)))
    card = imported(root, info, tmp_path / "out", resized=224)
    assert card.num_samples == {"train": 0, "validation": 0, "test": 1} and card.counts[UNNAMED] == 5
    assert ShardSamples(tmp_path / "out" / "PETS", "test").image(0).size == (4, 4)


@pytest.mark.parametrize("packed", [False, True])
def test_the_json_may_name_files_of_any_extension(root: Path, info: Path, tmp_path: Path, packed: bool) -> None:
    names = {"pets/a.JPEG": "JPEG", "./pets/b.ppm": "PPM", "pets//c.img": "PNG", "pets/d": "WEBP"}
    put(info / "PETS_test.json", json.dumps({path: about(1) for path in names}))
    contents = {str(Path(path)): encoded(picture(number), kind) for number, (path, kind) in enumerate(names.items())}
    train = {path: image(path) for path in TRAIN}
    tar(tmp_path / "tars" / "PETS.tar", [(f"PETS/{path}", data) for path, data in (contents | train).items()])
    for path, data in contents.items():
        put(root / "PETS" / path, data)
    (root / "PETS" / next(iter(TEST))).unlink()
    card = imported(tmp_path / "tars" if packed else root, info, tmp_path / "out")
    assert card.num_samples["test"] == 4 and card.counts == {"class without any image": 1}


def test_a_picture_in_both_splits_is_kept_and_counted(root: Path, info: Path, tmp_path: Path) -> None:
    put(info / "PETS_test.json", json.dumps(TEST | {"pets/b/2.png": about(0)}))
    card = imported(root, info, tmp_path / "out")
    assert card.num_samples == {"train": 4, "validation": 0, "test": 2}
    assert card.counts["in the training and in the test split: kept in both"] == 1


def test_without_primers_it_is_a_retrieval_set(root: Path, info: Path, tmp_path: Path) -> None:
    put(
        info / "PETS_train.json",
        json.dumps({path: about(0, primer_caption=None, default_caption=["a"]) for path in TRAIN}),
    )
    put(
        info / "PETS_test.json",
        json.dumps({p: about(1, primer_caption=None, default_caption=list("abc")) for p in TEST}),
    )
    card = imported(root, info, tmp_path / "out")
    assert (card.kind, card.metric, card.templates) == ("retrieval", "recall@5", ())
    assert card.classes == tuple(CLASSES)
    assert ShardSamples(tmp_path / "out" / "PETS", "test").captions(0) == ["a", "b", "c"]


def test_retrieval_needs_no_classes(root: Path, info: Path, tmp_path: Path) -> None:
    (info / "PETS_classnames.json").unlink()
    (info / "PETS_train.json").unlink()
    entries = {path: about(0, classname=None, primer_caption=None, default_caption=["one", "two"]) for path in TEST}
    put(info / "PETS_test.json", json.dumps(entries))
    card = imported(root, info, tmp_path / "out")
    assert card.kind == "retrieval" and card.classes == ()
    assert ShardSamples(tmp_path / "out" / "PETS", "test").targets.tolist() == [-1]


def test_prompts_that_no_template_gives_are_kept_as_they_are(root: Path, info: Path, tmp_path: Path) -> None:
    special = {"pets/b/9.png": about(1, primer_caption="Reynard himself.")}
    put(info / "PETS_test.json", json.dumps(special))
    put(info / "PETS_train.json", json.dumps({path: value for path, value in TRAIN.items() if value["target"] == 0}))
    card = imported(root, info, tmp_path / "out")
    assert card.prompts(card.templates[0])[:2] == ["A photo of a tabby cat, a type of animal.", "Reynard himself."]


def test_the_commonest_of_several_primers_is_the_prompt(root: Path, info: Path, tmp_path: Path) -> None:
    path = "pets/b/2.png"
    put(info / "PETS_train.json", json.dumps(TRAIN | {path: about(0, primer_caption="a tom")}))
    card = imported(root, info, tmp_path / "out")
    assert card.prompts(card.templates[0])[0] == "A photo of a tabby cat, a type of animal." and card.primers == {}
    assert card.counts["class with several primer captions: the commonest is its prompt"] == 1
    assert ShardSamples(tmp_path / "out" / "PETS", "train").captions(2, "primer") == ["a tom"]


def test_classification_needs_the_list_of_classes(root: Path, info: Path, tmp_path: Path) -> None:
    (info / "PETS_classnames.json").unlink()
    with pytest.raises(FomoError, match=r"PETS_classnames.json' is missing"):
        imported(root, info, tmp_path / "out")


def test_classes_of_one_name_are_told_apart(root: Path, info: Path, tmp_path: Path) -> None:
    put(info / "PETS_classnames.json", json.dumps(["tabby cat", 'the "red" fox', "tabby cat"]))
    put(info / "PETS_test.json", json.dumps({"pets/b/9.png": about(0, target=2)}))
    card = imported(root, info, tmp_path / "out")
    assert card.classes == ("tabby cat", 'the "red" fox', "tabby cat (2)")
    assert card.counts["class name that stands twice: numbered"] == 1
    assert ShardSamples(tmp_path / "out" / "PETS", "test").targets.tolist() == [2]


@pytest.mark.parametrize(
    ("file", "content", "text"),
    [
        ("PETS_test.json", "{", "PETS_test.json: not JSON"),
        ("PETS_test.json", "[" * 100_000, "PETS_test.json: not JSON"),
        ("PETS_test.json", b"\xff\xfe", "PETS_test.json: not JSON"),
        ("PETS_test.json", "[]", "no mapping"),
        ("PETS_test.json", "{}", "no mapping"),
        ("PETS_test.json", '{"a.jpg": 3}', "'a.jpg' has no integer 'target'"),
        ("PETS_test.json", '{"a.jpg": {"classname": "emu"}}', "'a.jpg' has no integer 'target'"),
        ("PETS_test.json", json.dumps({"a.jpg": about(0, target="0")}), "'a.jpg' has no integer"),
        ("PETS_test.json", json.dumps({"a.jpg": about(0, target=True)}), "'a.jpg' has no integer"),
        ("PETS_test.json", json.dumps({"a.jpg": about(0, target=3)}), "'a.jpg': target 3 is not one of the 3"),
        ("PETS_test.json", json.dumps({"a.jpg": about(0, target=-1)}), "'a.jpg': target -1"),
        ("PETS_test.json", json.dumps({"a.jpg": about(0, target=1)}), "is 'tabby cat', but class 1 is 'the"),
        ("PETS_test.json", json.dumps({"a.jpg": about(0, default_caption=7)}), "'a.jpg': a caption is a string"),
        ("PETS_test.json", json.dumps({"a.jpg": about(0, synthetic_caption=[None])}), "'a.jpg': a caption is a string"),
        ("PETS_test.json", '{"a.jpg": {"target": 0}, "a.jpg": {"target": 1}}', "'a.jpg' stands twice"),
        ("PETS_classnames.json", "{}", "no list of class names"),
        ("PETS_classnames.json", "[]", "no list of class names"),
        ("PETS_classnames.json", "[3]", "no list of class names"),
        ("PETS_classnames.json", '["a+++b"]', r"'a\+\+\+b' cannot name a class"),
        ("PETS_classnames.json", '["a\\nb"]', r"'a\\nb' cannot name a class"),
        ("PETS_classnames.json", '["\\ud800"]', "cannot name a class"),
        ("PETS_classnames.json", '[" "]', "cannot name a class"),
    ],
)
def test_json_of_the_wrong_shape_is_refused_by_name(
    root: Path, info: Path, tmp_path: Path, file: str, content: str | bytes, text: str
) -> None:
    put(info / file, content)
    with pytest.raises(FomoError, match=text):
        imported(root, info, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_not_there_is_refused_with_the_place_to_put_it(root: Path, info: Path, tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"dataset in --info .* 'PET'.*Did you mean 'PETS'"):
        imported(root, info, tmp_path / "out", "PET")
    with pytest.raises(FomoError, match=r"nowhere' is not a folder"):
        imported(root, tmp_path / "nowhere", tmp_path / "out")
    shutil.rmtree(root / "PETS")
    with pytest.raises(FomoError, match=r"neither '.*PETS' nor '.*PETS.tar' is there"):
        imported(root, info, tmp_path / "out")
    put(root / "PETS" / "other.jpg", picture(1))
    with pytest.raises(FomoError, match="none of the 5 images"):
        imported(root, info, tmp_path / "out")


def test_the_command(root: Path, info: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    arguments = ["data", "import", "fomo-in-flux", str(root), "--name", "PETS", "--out", out, "--workers", "1"]
    assert "--info" in error_of(capsys, *arguments)
    assert status(*arguments, "--info", str(info)) == 0
    shown = capsys.readouterr().out
    assert "PETS: 3 classes" in shown and "left out: class without any image" in shown
    assert open_dataset(tmp_path / "out" / "PETS").card.num_samples["train"] == 4


def test_the_catalogue_says_what_the_json_does_not(
    root: Path, info: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in info.iterdir():
        file.rename(info / file.name.replace("PETS", "MONKEYS10"))
    (root / "PETS").rename(root / "MONKEYS10")
    arguments = ["data", "import", "fomo-in-flux", str(root), "--info", str(info), "--workers", "1"]
    assert status(*arguments, "--name", "MONKEYS10", "--out", str(tmp_path / "out")) == 0
    card = open_dataset(tmp_path / "out" / "MONKEYS10").card
    assert card.role == "retention" and card.domain and card.licence
    unprimed = {path: about(1, primer_caption=None) for path in TEST}
    put(info / "MONKEYS10_test.json", json.dumps(unprimed))
    (info / "MONKEYS10_train.json").unlink()
    error = error_of(capsys, *arguments, "--name", "MONKEYS10", "--out", str(tmp_path / "other"))
    assert "'MONKEYS10' is a classification dataset" in error and not (tmp_path / "other").exists()


@pytest.mark.skipif(not INFO.is_dir(), reason="the reference's JSON files are not here")
@pytest.mark.parametrize(
    ("name", "kind", "num_classes", "num_test"),
    [
        ("DTD", "classification", 47, 1880),
        ("AI2DIAGRAMS", "classification", 15, 681),
        ("MONKEYS10", "classification", 10, 272),
        ("FSCOCO", "retrieval", 115, 1777),
        ("FLICKR30K", "retrieval", 0, 1000),
    ],
)
def test_the_real_files_are_understood(name: str, kind: str, num_classes: int, num_test: int) -> None:
    info = read_info(INFO, name)
    assert (info.kind, len(info.classes), len(info.splits["test"])) == (kind, num_classes, num_test)
    assert info.primers == {} and info.counts == {}
    if kind == "classification":
        prompts = {sample.class_name: sample.texts["primer"] for sample in info.splits["test"]}
        assert all(texts == [info.template.replace("{}", str(name))] for name, texts in prompts.items())
    else:
        assert all(sample.training_texts == sample.texts["default"] for sample in info.splits["test"])
