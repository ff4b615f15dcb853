"""Two towers joined in closed form: exactly the softmax times the embeddings of names, and other files are refused."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from open_clip import IMAGENET_CLASSNAMES
from safetensors.torch import save
from torch.nn import functional as F

from fomo.errors import FomoError
from fomo.model.desktop import SentenceTokenizer, built
from streams.desktop.pretraining.join import join, joined, tower_packages
from streams.desktop.pretraining.towers import classifier_state, encoder_state, tensors_in
from tests.streams.desktop.made_towers import TINY, classifier, encoder, packages, stored, tokenizer_json, wheel


def bert(tokens: torch.Tensor) -> torch.Tensor:
    """Mean features of BERT by its definition, a row and a head at a time, of the packaged weights themselves."""
    state = encoder()
    width = state["embeddings.LayerNorm.weight"].numel()

    def norm(rows: torch.Tensor, part: str) -> torch.Tensor:
        return F.layer_norm(rows, (width,), state[f"{part}.weight"], state[f"{part}.bias"], 1e-12)

    def linear(rows: torch.Tensor, part: str) -> torch.Tensor:
        return rows @ state[f"encoder.layer.0.{part}.weight"].T + state[f"encoder.layer.0.{part}.bias"]

    features = []
    for text in tokens:
        ids = text[text != 0]
        rows = state["embeddings.word_embeddings.weight"][ids]
        rows = rows + state["embeddings.position_embeddings.weight"][: len(ids)]
        rows = norm(rows + state["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        q, k, v = (linear(rows, f"attention.self.{part}").split(width // 2, 1) for part in ("query", "key", "value"))
        heads = [(a @ b.T / (width // 2) ** 0.5).softmax(1) @ c for a, b, c in zip(q, k, v, strict=True)]
        found = linear(torch.cat(heads, 1), "attention.output.dense")
        rows = norm(rows + found, "encoder.layer.0.attention.output.LayerNorm")
        inner = linear(F.gelu(linear(rows, "intermediate.dense")), "output.dense")
        features.append(norm(rows + inner, "encoder.layer.0.output.LayerNorm").mean(0))
    return torch.stack(features)


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer_json())
    return path


@torch.no_grad()
def test_a_feature_is_the_softmax_of_the_logits_times_the_names_embeddings(tmp_path: Path, tokenizer: Path) -> None:
    network = joined(packages(tmp_path / "shop"), tokenizer, TINY)
    tokens = SentenceTokenizer(tokenizer, 24)([f"a photo of a {name}." for name in IMAGENET_CLASSNAMES])
    names = F.normalize(bert(tokens), dim=-1)
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    logits = network.visual.trunk(images)
    assert logits.std() > 0
    torch.testing.assert_close(network.encode_image(images), logits.softmax(-1) @ names, rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_the_perceptron_beside_the_softmax_is_added(tmp_path: Path, tokenizer: Path) -> None:
    network = joined(packages(tmp_path / "shop"), tokenizer, TINY)
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before = network.encode_image(images)
    mlp = network.visual.mlp
    mlp.fc2.weight.normal_(generator=torch.Generator().manual_seed(1))
    rows = network.visual.trunk.forward_head(network.visual.trunk.forward_features(images), pre_logits=True)
    added = F.gelu(rows @ mlp.fc1.weight.T + mlp.fc1.bias) @ mlp.fc2.weight.T
    assert added.abs().max() > 1e-3
    torch.testing.assert_close(network.encode_image(images), before + added, rtol=1e-4, atol=1e-5)


def test_adapters_reach_what_the_paper_adapts_in_the_text_tower_and_the_image_towers_last_map() -> None:
    from methods.lora.matrices import matrices

    attention = [f"text.layers.0.attention.{each}" for each in ("query", "key", "value")]
    found = [each.name for each in matrices(built(TINY), "paper")]
    assert found == ["visual.mlp.fc2", *attention, "text.layers.0.mlp.fc2"]


@torch.no_grad()
def test_texts_are_encoded_as_bert_does_however_they_are_padded(tmp_path: Path, tokenizer: Path) -> None:
    network = joined(packages(tmp_path / "shop"), tokenizer, TINY)
    tokens = SentenceTokenizer(tokenizer, 24)(["a cat", "the moon of an icon", "x " * 50])
    torch.testing.assert_close(network.encode_text(tokens), bert(tokens), rtol=1e-4, atol=1e-5)
    handle = network.text.layers[0].register_forward_hook(lambda *seen: None)  # who listens gets the padding too
    torch.testing.assert_close(network.encode_text(tokens[:2]), bert(tokens[:2]), rtol=1e-4, atol=1e-5)
    handle.remove()


def test_tokens_are_those_of_the_tokenizers_own_truncation_and_padding(tokenizer: Path) -> None:
    from tokenizers import Tokenizer

    texts = ["a photo of a cat.", "", "Sun and Moon " * 9]
    reference = Tokenizer.from_file(str(tokenizer))
    reference.enable_truncation(10)
    reference.enable_padding(length=10)
    expected = [reference.encode(text).ids for text in texts]
    assert SentenceTokenizer(tokenizer, 24)(texts, context_length=10).tolist() == expected


def test_the_classifiers_weights_are_timms_by_another_name() -> None:
    state = classifier_state(classifier())
    network = built(TINY).visual.trunk
    assert list(state) == list(network.state_dict()) and all(
        state[name].shape == value.shape for name, value in network.state_dict().items()
    )


@pytest.mark.parametrize("change", [{"_blocks.16._bn1.weight": torch.ones(2)}, {"_extra.weight": torch.ones(2)}])
def test_a_name_that_is_no_part_of_the_classifier_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(FomoError, match=f"'{next(iter(change))}' is no part of EfficientNet-Lite0"):
        classifier_state({**classifier(), **change})


def test_an_encoder_without_a_part_or_with_another_is_refused() -> None:
    state = encoder()
    with pytest.raises(FomoError, match="no part of BERT's encoder"):
        encoder_state({**state, "encoder.layer.0.crossattention.weight": torch.ones(2)}, 24)
    del state["embeddings.LayerNorm.bias"]
    with pytest.raises(FomoError, match=r"'embeddings\.LayerNorm\.bias' is missing"):
        encoder_state(state, 24)


@pytest.mark.parametrize(("name", "shape"), [("_fc.weight", (1000, 7)), ("_conv_head.weight", (4, 4, 1, 1))])
def test_weights_of_another_shape_are_refused(name: str, shape: tuple[int, ...], tokenizer: Path) -> None:
    state = classifier_state({**classifier(), name: torch.zeros(shape)})
    with pytest.raises(FomoError, match=r"1 keys do not fit 'desktop' \(1 of another shape\)"):
        join(built(TINY), state, encoder_state(encoder(), 24), SentenceTokenizer(tokenizer, 24))


class Evil:
    """An object whose unpickling would run a command."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("echo run > /dev/null",)


def test_a_file_of_weights_with_code_in_it_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    data = stored({"_fc.weight": torch.ones(2), "evil": Evil()})
    monkeypatch.setattr(os, "system", ran.append)
    archive = wheel(tmp_path / "a.whl", {"lite/models/lite0.pth": data})
    with pytest.raises(FomoError, match="code in files of weights is not run"):
        tensors_in(archive, ".pth")
    assert not ran


def test_an_archive_without_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FomoError, match=r"holds no file \*\.pth"):
        tensors_in(wheel(tmp_path / "a.whl", {"lite/__init__.py": b""}), ".pth")


def test_weights_that_are_not_finite_are_refused(tmp_path: Path, tokenizer: Path) -> None:
    broken = {**encoder(), "encoder.layer.0.output.dense.bias": torch.full((16,), torch.nan)}
    text = {"bert/model/model.safetensors": save(broken), "bert/model/tokenizer.json": tokenizer_json().encode()}
    made = {**packages(tmp_path / "shop"), "encoder": wheel(tmp_path / "b.whl", text)}
    with pytest.raises(FomoError, match="not finite"):
        joined(made, tokenizer, TINY)


def test_the_packages_are_pinned_by_hash() -> None:
    assert [each.key for each in tower_packages()] == ["classifier", "encoder"]
    for each in tower_packages():
        assert len(bytes.fromhex(each.sha256)) == 32 and each.version == "0.1.0" and each.client == "pip"
