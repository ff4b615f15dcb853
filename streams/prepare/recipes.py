"""One row per dataset that torchvision can download: name in the catalogue → how it is fetched, read and named.

Checksums are torchvision's: from its class where it keeps them there, else
(EuroSAT, Caltech, GTSRB) copied from its code, as of torchvision 0.29. First templates are those of CLIP (Radford et
al. 2021, arXiv 2103.00020; github.com/openai/CLIP, data/prompts.md).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torchvision import datasets as tv
from torchvision.datasets.inaturalist import DATASET_MD5, DATASET_URLS

from streams.prepare.readers import (
    Items,
    Names,
    arrays,
    attribute,
    binomial,
    caltech,
    files,
    fixed,
    inaturalist,
    pairs,
    spaced,
    spaced_caltech256,
    translated,
)
from streams.prepare.source import Archive

PHOTO = ("a photo of a {}.", "a photo of the {}.")
NUMBER = ('a photo of the number: "{}".',)
BY_FLAG = {"train": {"train": True}, "test": {"train": False}}
BY_NAME = {"train": {"split": "train"}, "test": {"split": "test"}}
WITH_VAL = {"train": {"split": "train"}, "validation": {"split": "val"}, "test": {"split": "test"}}


@dataclass(frozen=True)
class DatasetRecipe:
    """How a dataset is had.

    Attributes:
        name: of the dataset that is written.
        reader: torchvision's class.
        archives: the original files.
        items: returns the samples of one of torchvision's objects.
        classes: returns the class names of one of torchvision's objects.
        templates: prompts with one ``{}`` for the class name; the first is the primer prompt.
        splits: the arguments of torchvision's class for each of our splits; where it has no split, there is none here
            and :mod:`streams.prepare.datasets` makes one.
        arguments: those of torchvision's class for all splits.
        note: what to know, for the card.
    """

    name: str
    reader: Callable[..., Any]
    archives: tuple[Archive, ...]
    items: Items
    classes: Names
    templates: tuple[str, ...] = PHOTO
    splits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    arguments: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


def _cifar(name: str, reader: Any) -> DatasetRecipe:
    archive = Archive((reader.url,), reader.tgz_md5, content=reader.base_folder)
    return DatasetRecipe(name, reader, (archive,), arrays, attribute("classes", spaced), splits=BY_FLAG)


def _mnist(name: str, reader: Any, classes: Names, templates: tuple[str, ...]) -> DatasetRecipe:
    folder = f"{reader.__name__}/raw"
    archives = tuple(
        Archive(tuple(mirror + file for mirror in reader.mirrors), md5, f"{folder}/{file[:-3]}", folder)
        for file, md5 in reader.resources
    )
    return DatasetRecipe(name, reader, archives, arrays, classes, templates, BY_FLAG)


def _plain_files(folder: str, *names_and_md5s: tuple[str, str, str]) -> tuple[Archive, ...]:
    """Files that are read as they are: URL, name, checksum."""
    return tuple(
        Archive((url,), md5, content=f"{folder}/{name}", folder=folder, unpack=False)
        for url, name, md5 in names_and_md5s
    )


def _flowers() -> tuple[Archive, ...]:
    prefix = tv.Flowers102._download_url_prefix
    table = tv.Flowers102._file_dict
    folder = "flowers-102"
    file, md5 = table["image"]
    mats = [(prefix + table[key][0], *table[key]) for key in ("label", "setid")]
    return (Archive((prefix + file,), md5, f"{folder}/jpg", folder), *_plain_files(folder, *mats))


def _gtsrb() -> tuple[Archive, ...]:
    base = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/"
    rows = (
        ("GTSRB-Training_fixed.zip", "513f3c79a4c5141765e10e952eaa2478", "GTSRB/Training"),
        ("GTSRB_Final_Test_Images.zip", "c7e4e6327067d32654124b0fe9e82185", "GTSRB/Final_Test/Images"),
        ("GTSRB_Final_Test_GT.zip", "fe31e9c9270bbcd7b84b7f21a9d9d9e5", "GT-final_test.csv"),
    )
    return tuple(Archive((base + file,), md5, f"gtsrb/{content}", "gtsrb") for file, md5, content in rows)


def _places() -> tuple[Archive, ...]:
    reader = tv.Places365
    base = reader._BASE_URL
    devkit, devkit_md5 = reader._DEVKIT_META["standard"]
    train, train_md5 = reader._IMAGES_META["train-standard", True]
    val, val_md5 = reader._IMAGES_META["val", True]
    return (
        Archive((base + devkit,), devkit_md5, reader._CATEGORIES_META[0]),
        Archive((base + train,), train_md5, "data_256_standard", unpacked_as="data_256"),
        Archive((base + val,), val_md5, "val_256"),
    )


def _inaturalist(version: str, inside: str) -> Archive:
    return Archive(
        (DATASET_URLS[version],), DATASET_MD5[version], version, filename=f"{version}.tgz", unpacked_as=inside
    )


RECIPES: dict[str, DatasetRecipe] = {
    "CIFAR10": _cifar("cifar10_standard", tv.CIFAR10),
    "CIFAR100": _cifar("cifar100_standard", tv.CIFAR100),
    "MNIST": _mnist("mnist_standard", tv.MNIST, fixed("digits"), NUMBER),
    "FashionMNIST": _mnist(
        "fashionmnist_standard", tv.FashionMNIST, attribute("classes", str.lower), ("a photo of a {}.",)
    ),
    "SVHN": DatasetRecipe(
        "svhn_standard",
        tv.SVHN,
        _plain_files(".", *(tuple(tv.SVHN.split_list[split]) for split in ("train", "test"))),
        arrays,
        fixed("digits"),
        NUMBER,
        BY_NAME,
    ),
    "STL10": DatasetRecipe(
        "stl10_standard",
        tv.STL10,
        (Archive((tv.STL10.url,), tv.STL10.tgz_md5, tv.STL10.base_folder),),
        arrays,
        attribute("classes", spaced),
        splits=BY_NAME,
        note="the unlabelled images are left out",
    ),
    "EuroSAT": DatasetRecipe(
        "eurosat_seeded",
        tv.EuroSAT,
        (
            Archive(
                (
                    "https://huggingface.co/datasets/torchgeo/eurosat/resolve/"
                    "c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
                ),
                "c8fa014336c82ac7804f0398fcb19387",
                "eurosat/2750",
                "eurosat",
            ),
        ),
        pairs("samples"),
        translated("eurosat"),
        ("a centered satellite photo of {}.", "a centered satellite photo of a {}."),
    ),
    "CALTECH101": DatasetRecipe(
        "caltech101_seeded",
        tv.Caltech101,
        (
            Archive(
                ("https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",),
                "3138e1922a9193bfa496528edbbc45d0",
                "caltech101/101_ObjectCategories",
                "caltech101",
                inner="caltech-101/101_ObjectCategories.tar.gz",
            ),
        ),
        caltech("101_ObjectCategories", "image_{1:04d}.jpg"),
        attribute("categories", spaced),
        note="the background class is left out",
    ),
    "CALTECH256": DatasetRecipe(
        "caltech256_seeded",
        tv.Caltech256,
        (
            Archive(
                ("https://data.caltech.edu/records/nyy15-4j048/files/256_ObjectCategories.tar",),
                "67b4f42ca05d46448c6bb8ecd2220f6d",
                "caltech256/256_ObjectCategories",
                "caltech256",
            ),
        ),
        caltech("256_ObjectCategories", "{0:03d}_{1:04d}.jpg"),
        attribute("categories", spaced_caltech256),
        note="the clutter class is kept",
    ),
    "SUN397": DatasetRecipe(
        "sun397_seeded",
        tv.SUN397,
        (Archive((tv.SUN397._DATASET_URL,), tv.SUN397._DATASET_MD5, "SUN397"),),
        files("_image_files", "_labels"),
        attribute("classes", spaced),
    ),
    "FLOWERS102": DatasetRecipe(
        "flowers102_standard",
        tv.Flowers102,
        _flowers(),
        files("_image_files", "_labels"),
        fixed("flowers102"),
        ("a photo of a {}, a type of flower.",),
        WITH_VAL,
    ),
    "Food101": DatasetRecipe(
        "food101_standard",
        tv.Food101,
        (Archive((tv.Food101._URL,), tv.Food101._MD5, "food-101"),),
        files("_image_files", "_labels"),
        attribute("classes", spaced),
        ("a photo of {}, a type of food.",),
        BY_NAME,
    ),
    "DTD": DatasetRecipe(
        "dtd_standard",
        tv.DTD,
        (Archive((tv.DTD._URL,), tv.DTD._MD5, "dtd/dtd", "dtd"),),
        files("_image_files", "_labels"),
        attribute("classes"),
        ("a photo of a {} texture.", "a photo of a {} pattern."),
        WITH_VAL,
        note="the first of its ten partitions",
    ),
    "FGVCAircraft": DatasetRecipe(
        "fgvcaircraft_standard",
        tv.FGVCAircraft,
        (Archive((tv.FGVCAircraft._URL,), None, "fgvc-aircraft-2013b"),),
        files("_image_files", "_labels"),
        attribute("classes"),
        ("a photo of a {}, a type of aircraft.", "a photo of the {}, a type of aircraft."),
        WITH_VAL,
        note="classes are the 100 variants",
    ),
    "GTSRB": DatasetRecipe(
        "gtsrb_standard",
        tv.GTSRB,
        _gtsrb(),
        pairs("_samples"),
        fixed("gtsrb"),
        ('a zoomed in photo of a "{}" traffic sign.', 'a centered photo of a "{}" traffic sign.'),
        BY_NAME,
    ),
    "OXFORDPETS": DatasetRecipe(
        "oxfordpets_standard",
        tv.OxfordIIITPet,
        tuple(
            Archive((url,), md5, f"oxford-iiit-pet/{content}", "oxford-iiit-pet")
            for (url, md5), content in zip(tv.OxfordIIITPet._RESOURCES, ("images", "annotations"), strict=True)
        ),
        files("_images", "_labels"),
        attribute("classes"),
        ("a photo of a {}, a type of pet.",),
        {"train": {"split": "trainval"}, "test": {"split": "test"}},
    ),
    "COUNTRY211": DatasetRecipe(
        "country211_standard",
        tv.Country211,
        (Archive((tv.Country211._URL,), tv.Country211._MD5, "country211"),),
        pairs("samples"),
        translated("countries"),
        ("a photo i took in {}.", "a photo showing the country of {}."),
        {"train": {"split": "train"}, "validation": {"split": "valid"}, "test": {"split": "test"}},
    ),
    "CLEVR": DatasetRecipe(
        "clevr_counts_standard",
        tv.CLEVRClassification,
        (Archive((tv.CLEVRClassification._URL,), tv.CLEVRClassification._MD5, "clevr/CLEVR_v1.0", "clevr"),),
        files("_image_files", "_labels", first=3),
        fixed("clevr_counts"),
        ("a photo of {}.",),
        {"train": {"split": "train"}, "test": {"split": "val"}},
        note="classes are the number of objects: FoMo-in-Flux's 217 are another task on these images; the test "
        "split is the validation part, because the test part has no public labels",
    ),
    "PLACES365": DatasetRecipe(
        "places365_standard",
        tv.Places365,
        _places(),
        pairs("imgs"),
        attribute("classes", lambda raw: spaced(raw[2:])),
        splits={"train": {"split": "train-standard"}, "test": {"split": "val"}},
        arguments={"small": True},
        note="images of 256 pixels; the test split is the validation part: the test part has no public labels",
    ),
    "iNATURALIST2021": DatasetRecipe(
        "inaturalist2021_standard",
        tv.INaturalist,
        (_inaturalist("2021_train_mini", "train_mini"), _inaturalist("2021_valid", "val")),
        inaturalist,
        attribute("all_categories", binomial),
        ("a photo of a {}.",),
        {"train": {"version": "2021_train_mini"}, "test": {"version": "2021_valid"}},
        note="all 10,000 species, mini training part",
    ),
}
