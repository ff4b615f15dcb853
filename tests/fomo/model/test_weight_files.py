"""Files of weights as people have them: read where that is safe, else one line that says what is wrong."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fomo.errors import FomoError
from fomo.model.open_clip import pretrained_clip
from fomo.model.recognise import models_like
from tests.fomo.model.test_open_clip import from_command_line
from tests.fomo.model.tiny_clip import models, saved, state

__all__ = ["models"]


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{key}": value for key, value in state().items()}


def halfway_compiled() -> dict[str, Tensor]:
    return {key.replace("visual.", "visual._orig_mod."): value for key, value in state().items()}


WRAPPED: dict[str, Any] = {
    "plain": state,
    "DDP": lambda: prefixed("module."),
    "compiled": lambda: prefixed("_orig_mod."),
    "compiled in DDP": lambda: prefixed("module._orig_mod."),
    "a compiled tower": halfway_compiled,
    "nested": lambda: {"epoch": 3, "name": "x", "state_dict": prefixed("module."), "optimizer": {"state": {}}},
    "nested as model": lambda: {"model": state(), "optimizer": {"state": {0: {"step": torch.ones(1)}}}, "epoch": 1},
    "nested twice": lambda: {"state": {"model": state()}, "rng": {"torch": torch.zeros(5)}},
    "of a trainer": lambda: {"state_dict": prefixed("model."), "pytorch-lightning_version": "2"},
    "of another trainer": lambda: {"state_dict": prefixed("net.")},
    "an average of torch's": lambda: {"n_averaged": torch.tensor(7)} | prefixed("module."),
    "beside what an optimizer keeps": lambda: {"model": state(), "optimizer": {"exp_avg": state(), "square": state()}},
    "in half precision": lambda: {key: value.half() for key, value in state().items()},
}


@pytest.mark.parametrize("kind", WRAPPED)
def test_what_wraps_plain_tensors_is_taken_off(models: Path, tmp_path: Path, kind: str) -> None:
    torch.save(WRAPPED[kind](), tmp_path / "w.pt")
    found, expected = pretrained_clip("Tiny", str(tmp_path / "w.pt")).network.state_dict(), state()
    for key, value in expected.items():
        assert torch.allclose(found[key], value, atol=2e-3 if "half" in kind else 0), key


@pytest.mark.parametrize("name", ["w.safetensors", "w.bin", "weights"])
def test_the_content_tells_the_format_not_the_name(models: Path, tmp_path: Path, name: str) -> None:
    save_file(state(), tmp_path / name)
    assert pretrained_clip("Tiny", str(tmp_path / name)).caveats == ()


def test_a_path_may_start_at_home(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    saved(tmp_path / "w.pt")
    for path in ("~/w.pt", "'~/w.pt'"):
        assert from_command_line("model=Tiny", f"model.pretrained={path}").caveats == ()


def test_a_file_that_is_not_there_is_said_so(models: Path, tmp_path: Path) -> None:
    for path in (str(tmp_path / "gone"), "gone.pt"):
        with pytest.raises(FomoError, match=r"gone.*not there"):
            pretrained_clip("Tiny", path)


class Block(nn.Module):
    """Something to script."""

    def forward(self, x: Tensor) -> Tensor:
        """The same."""
        return x


def scripted(path: Path) -> None:
    torch.jit.save(torch.jit.script(Block()), str(path))


def of_transformers(path: Path) -> None:
    names = [f"{tower}_model.encoder.layers.{n}.mlp.fc1.weight" for tower in ("text", "vision") for n in range(200)]
    torch.save({name: torch.zeros(2, 2) for name in names}, path)


def of_another_model(path: Path) -> None:
    saved(path, "Tiny-wide")


def of_a_tower(path: Path) -> None:
    torch.save({key: value for key, value in state().items() if key.startswith("visual")}, path)


def of_adapters(path: Path) -> None:
    torch.save({f"base_model.model.{n}.lora_A.weight": torch.zeros(2, 2) for n in range(9)}, path)


def of_a_classifier(path: Path) -> None:
    torch.save({f"layer1.0.conv{n}.weight": torch.zeros(2, 2) for n in range(9)}, path)


def with_a_few_keys_too_many(path: Path) -> None:
    torch.save(state() | {f"extra.{n}": torch.zeros(1) for n in range(4)}, path)


def with_several_sets(path: Path) -> None:
    torch.save({"model": state(), "model_ema": state()}, path)


def with_an_average_of_a_callback(path: Path) -> None:
    torch.save({"state_dict": state(), "callbacks": {"EMA": {"decay": 0.9, "shadow": state()}}}, path)


def with_a_compiled_twin(path: Path) -> None:
    torch.save(state() | {f"_orig_mod.{key}": value * 0 for key, value in state().items()}, path)


def with_the_factor_itself(path: Path) -> None:
    torch.save(state() | {"logit_scale": torch.tensor(1 / 0.07)}, path)


def too_large_for_its_model(path: Path) -> None:
    torch.save({key: value.double() * 1e300 for key, value in state().items() if value.is_floating_point()}, path)


def quantised(path: Path) -> None:
    torch.save({key: value.to(torch.int8) for key, value in state().items()}, path)


def gone_wrong(path: Path) -> None:
    torch.save({key: value * float("nan") for key, value in state().items()}, path)


def with_code(path: Path) -> None:
    torch.save({"state_dict": state(), "args": Path("x")}, path)


BAD = {
    scripted: ["TorchScript", "state_dict()"],
    of_transformers: ["Hugging Face transformers", "keys do not fit 'Tiny'", "400 left over"],
    of_another_model: ["of another shape", "shape of Tiny-wide", "model=Tiny-wide"],
    of_a_tower: ["the image tower", "missing"],
    of_adapters: ["adapters", "9 left over"],
    of_a_classifier: ["torchvision"],
    with_a_few_keys_too_many: ["4 keys do not fit", "extra.0 left over; extra.1 left over; extra.2 left over."],
    with_several_sets: ["several sets of weights", "model, model_ema"],
    with_an_average_of_a_callback: ["several sets of weights", "state_dict, callbacks.EMA.shadow"],
    with_a_compiled_twin: ["several sets of weights", "_orig_mod."],
    with_the_factor_itself: ["logit_scale is 14.2857", "Save its logarithm"],
    too_large_for_its_model: ["not finite"],
    quantised: ["torch.int8", "before they are quantised"],
    gone_wrong: ["not finite (NaN)"],
    with_code: ["more than tensors", "torch.save(model.state_dict(), FILE)"],
    lambda path: torch.save([1, 2], path): ["holds a list"],
    lambda path: torch.save({"a": 1, "b": {"c": 2}}, path): ["no tensors by name", "a, b"],
    lambda path: torch.save({}, path): ["no tensors"],
    lambda path: path.write_bytes(b""): ["empty"],
    lambda path: path.write_bytes(b"PK\x03\x04 broken " * 99): ["no file of tensors"],
    lambda path: path.write_bytes(b"\x09\0\0\0\0\0\0\0{broken"): ["no file of tensors"],
}


@pytest.mark.parametrize("write", BAD)
def test_what_does_not_fit_is_one_line(models: Path, tmp_path: Path, write: Any) -> None:
    write(tmp_path / "w.pt")
    with pytest.raises(FomoError) as error:
        pretrained_clip("Tiny", str(tmp_path / "w.pt"))
    text = str(error.value)
    assert "\n" not in text and len(text.replace(str(tmp_path), "")) < 500, text
    assert "could not build 'Tiny'" in text and "w.pt" in text
    assert all(part in text for part in BAD[write]), text


def test_a_layout_that_only_looks_known_is_one_line(models: Path, tmp_path: Path) -> None:
    torch.save({"image_encoder.model.patch_embed.0.rbr_conv.0.conv.weight": torch.zeros(2)}, tmp_path / "w.pt")
    with pytest.raises(FomoError, match=r"do not fit|layout"):
        pretrained_clip("Tiny", str(tmp_path / "w.pt"))


def test_a_resnet_is_not_resized(tmp_path: Path) -> None:
    weights = pretrained_clip("RN50-quickgelu", None, image_size=64).network.state_dict()
    torch.save(weights, tmp_path / "rn.pt")
    with pytest.raises(FomoError, match=r"images of 64 pixels, the model takes 96. Give model.image_size=64\.$"):
        pretrained_clip("RN50-quickgelu", str(tmp_path / "rn.pt"), image_size=96)
    with pytest.raises(FomoError, match="keys do not fit 'ViT-S-32-alt'"):
        pretrained_clip("ViT-S-32-alt", str(tmp_path / "rn.pt"))


def test_the_models_of_a_shape_are_those_of_open_clip() -> None:
    network = pretrained_clip("ViT-S-32-alt", None, shapes_only=True).network
    assert models_like(network.state_dict()) == ["ViT-S-32-alt"]
    network = pretrained_clip("RN50x4-quickgelu", None, shapes_only=True).network
    assert models_like(network.state_dict()) == ["RN50x4", "RN50x4-quickgelu"]
