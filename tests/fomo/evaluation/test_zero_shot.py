"""Zero-shot evaluation against explicit loops."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch

from fomo.errors import FomoError
from fomo.evaluation.classifier import classifier, predictions
from fomo.evaluation.config import EvaluationConfig
from fomo.evaluation.zero_shot import evaluate, scored_datasets
from fomo.results.scores import NotFinished
from fomo.system.runtime import Runtime
from tests import tiny
from tests.fomo.evaluation.test_retrieval import shades

CPU = Runtime("cpu")


@pytest.mark.parametrize("templates", ["first", "all"])
def test_classifier_is_the_mean_over_prompts_on_the_unit_sphere(templates: str) -> None:
    prepared = tiny.prepared()
    model, dataset = prepared.model, prepared.stream.datasets["pocket_flags"]
    model.network.eval()
    weights = classifier(model, dataset.card, templates, CPU).numpy()
    used = dataset.card.templates[:1] if templates == "first" else dataset.card.templates
    for row, name in enumerate(dataset.card.classes):
        with torch.no_grad():
            encoded = model.network.encode_text(model.tokenize([t.format(name) for t in used])).numpy()
        unit = encoded / np.linalg.norm(encoded, axis=1, keepdims=True)
        mean = unit.mean(axis=0)
        np.testing.assert_allclose(weights[row], mean / np.linalg.norm(mean), atol=1e-5)


@pytest.mark.parametrize("templates", ["first", "all"])
def test_classifier_is_that_of_open_clip(templates: str) -> None:
    """``open_clip.build_zero_shot_classifier`` with the templates as functions, and top-1 by its logits."""
    prepared = tiny.prepared()
    model, dataset = prepared.model, prepared.stream.datasets["pocket_solids"]
    model.network.eval()
    card = dataset.card
    used = card.templates[:1] if templates == "first" else card.templates
    functions = [(lambda name, template=template: template.format(name)) for template in used]
    theirs = open_clip.build_zero_shot_classifier(
        model.network, lambda texts: model.tokenize(texts), card.classes, functions, 3, "cpu"
    )
    weights = classifier(model, card, templates, CPU)
    torch.testing.assert_close(weights, theirs.T, atol=1e-5, rtol=1e-4)
    samples = dataset.split("test")
    pixels = np.stack([model.preprocess.crop(samples.image(row)) for row in range(len(samples))])
    with torch.no_grad():
        images = model.normalize(torch.from_numpy(pixels).permute(0, 3, 1, 2))
        logits = model.network.encode_image(images, normalize=True) @ theirs
    guessed = predictions(model, samples, weights, 512, CPU)
    assert (guessed == logits.argmax(dim=1).numpy()).all()


def test_predictions_do_not_depend_on_the_batch_size(device: str) -> None:
    prepared, runtime = tiny.prepared(f"runtime.device={device}"), Runtime(device, "fp32")
    model, samples = prepared.model, prepared.stream.datasets["pocket_counting"].split("test")
    model.network.eval()
    weights = torch.eye(5, 128, device=device)
    few, many = (predictions(model, samples, weights, size, runtime) for size in (7, 1000))
    assert (few == many).mean() > 0.99 and len(few) == len(samples)


def test_scores_are_hits_per_dataset_and_per_task(device: str) -> None:
    prepared, runtime = tiny.prepared(f"runtime.device={device}"), Runtime(device, "fp32")
    stream, model = prepared.stream, prepared.model
    result = evaluate(model, stream, 0, EvaluationConfig(), runtime)
    hits_of_task: dict[int, list[bool]] = {1: [], 2: []}
    task_of = {(c.dataset, c.name): number for number, task in enumerate(stream.tasks, 1) for c in task}
    for name, dataset in stream.datasets.items():
        samples = dataset.split("test")
        guessed = predictions(model, samples, classifier(model, dataset.card, "first", runtime), 512, runtime)
        assert result.scores[name] == pytest.approx(100 * np.mean(guessed == samples.targets))
        for guess, target in zip(guessed, samples.targets, strict=True):
            if name in stream.adaptation:
                hits_of_task[task_of[name, dataset.card.classes[target]]].append(bool(guess == target))
    for number, hits in hits_of_task.items():
        assert result.tasks[number] == pytest.approx(100 * np.mean(hits))
    assert result.num_samples["pocket_counting"] == 40


def test_the_validation_split_is_another_set() -> None:
    prepared = tiny.prepared()
    result = evaluate(prepared.model, prepared.stream, 0, EvaluationConfig(split="validation"), CPU)
    sizes = {name: dataset.card.num_samples for name, dataset in prepared.stream.datasets.items()}
    assert result.num_samples == {name: size["validation"] for name, size in sizes.items()}
    assert result.num_samples != {name: size["test"] for name, size in sizes.items()}


@pytest.mark.parametrize("bad", [{"split": "train"}, {"split": "tset"}, {"templates": "al"}])
def test_unknown_values_are_refused(bad: dict[str, str]) -> None:
    with pytest.raises(FomoError, match="Allowed"):
        EvaluationConfig(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("tower", ["visual.conv1.weight", "token_embedding.weight"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_a_model_whose_features_are_no_numbers_has_no_score(tower: str, value: float) -> None:
    prepared = tiny.prepared()
    with torch.no_grad():
        prepared.model.network.get_parameter(tower).fill_(value)
    with pytest.raises(NotFinished, match=r"'pocket_flags' is not finished: .* NaN"):
        evaluate(prepared.model, prepared.stream, 0, EvaluationConfig(), CPU)


def test_a_retrieval_set_has_no_score_either(tmp_path: Path) -> None:
    prepared, dataset = tiny.prepared(), shades(tmp_path, classes=False)
    with torch.no_grad():
        prepared.model.network.get_parameter("visual.conv1.weight")[0].fill_(torch.nan)
    with pytest.raises(NotFinished, match="'FLAGS' is not finished"):
        list(scored_datasets(prepared.model, {"FLAGS": dataset}, EvaluationConfig(), CPU))
