"""What is saved by computing once what the prompts of a template begin with.

    python benchmarks/prompts.py [--model NAME] [--classes N] [--repeats R] [--device DEVICE]

Encodes the prompts of several templates for classes of two or three words, as `evaluation.templates=all` does: as
open_clip has it (the whole context), trimmed to the longest of a batch, and with the common tokens of a template's
batch computed once. The model has random weights. The ways take turns; the ratios are of the medians of their times.
"""

import argparse
import platform
import time
from collections.abc import Callable
from datetime import date
from itertools import chain, product

import numpy as np
import torch
from torch import Tensor

from fomo.config import factory
from fomo.config.compose import compose
from fomo.config.schema import resolve
from fomo.evaluation.templates import beginnings
from fomo.evaluation.texts import TEXTS_AT_A_TIME, encode_texts

TEMPLATES = (
    "a photo of a {}.",
    "a low resolution photo of the {}.",
    "a black and white photo of a {}.",
    "itap of my {}.",
)
FIRST = ("red", "old", "small", "wild", "northern", "spotted", "grey", "alpine", "common", "giant")
SECOND = ("", "sea ", "forest ", "night ", "river ", "house ", "desert ", "winter ", "marsh ", "garden ")
THIRD = ("fox", "owl", "boat", "lamp", "tree", "fern", "moth", "tower", "bridge", "chair")


def now() -> tuple[float, float]:
    """Seconds by the clock and of the processor."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="ViT-S-32-alt")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    weights = [] if options.model.startswith("pocket") else ["model.pretrained=null"]
    config = resolve(compose([f"model={options.model}", *weights, f"runtime.device={options.device}"])).config
    model = factory.model(config)
    model.network.eval()
    classes = ["".join((one, " ", two, three)) for one, two, three in product(FIRST, SECOND, THIRD)][: options.classes]
    prompts = {template: [template.replace("{}", name) for name in classes] for template in TEMPLATES}
    texts = list(chain(*prompts.values()))
    begin = beginnings(prompts)

    def whole() -> Tensor:
        tokens = model.tokenize(texts).split(TEXTS_AT_A_TIME)
        pieces = [model.network.encode_text(each.to(config.runtime.device), normalize=True) for each in tokens]
        return torch.cat(pieces).float()

    ways: dict[str, Callable[[], Tensor]] = {
        "whole context": whole,
        "trimmed": lambda: encode_texts(model, texts, config.runtime).of(texts),
        "shared beginning": lambda: encode_texts(model, texts, config.runtime, begin).of(texts),
    }
    times: dict[str, list[np.ndarray]] = {name: [] for name in ways}
    features = {name: way() for name, way in ways.items()}
    for name, way in [each for _ in range(options.repeats) for each in ways.items()]:
        before = np.array(now())
        way()
        times[name].append(np.array(now()) - before)
    medians = {name: np.median(each, axis=0) for name, each in times.items()}
    where = torch.cuda.get_device_name() if config.runtime.device != "cpu" else f"{torch.get_num_threads()} threads"
    print(
        f"{date.today()}  {platform.machine()}, {where}, {options.model}, {len(texts)} prompts of {len(TEMPLATES)} "
        f"templates, {config.runtime.precision}"
    )
    print("prompts per second          by the clock   by processor time")
    for name, seconds in medians.items():
        clock, processor = len(texts) / np.maximum(seconds, 1e-3)
        print(f"{name:27s} {clock:12.0f}   {processor:17.0f}")
    for one, other in (("shared beginning", "trimmed"), ("shared beginning", "whole context")):
        clock, processor = medians[other] / np.maximum(medians[one], 1e-9)
        print(f"{f'{one} to {other}':35s} {clock:4.2f}   {processor:17.2f}")
    apart = max(float((features[name] - features["whole context"]).abs().max()) for name in ways)
    print(f"features are {apart:.1e} apart at most")


if __name__ == "__main__":
    main()
