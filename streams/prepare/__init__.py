"""``fomo data prepare``: public datasets through torchvision, written as indexed shards.

torchvision knows where the original files are, their checksums and their layouts; :mod:`streams.prepare.recipes` has a
row per dataset, and everything else is the same for all of them. What is written carries the dataset's own split, so
it has a name of its own: a name of the catalogue belongs to FoMo-in-Flux's split alone.

Nothing here unpickles. torchvision's reader of CIFAR does, because the original files are pickles, and only after their
checksums fit.
"""

from streams.prepare.datasets import prepared, prepared_as_reference
from streams.prepare.recipes import RECIPES, DatasetRecipe

__all__ = ["RECIPES", "DatasetRecipe", "prepared", "prepared_as_reference"]
