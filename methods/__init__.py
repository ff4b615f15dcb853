"""Built-in methods: one module per family; ``presets.py`` lists them all, ``papers.py`` what they come from.

Each is a plug-in like any other: of the benchmark it imports ``fomo`` alone, whose public names are the contract.
"""
