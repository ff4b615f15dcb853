"""The base model of the desktop: two towers out of packages, joined in closed form, then trained on the pool."""
