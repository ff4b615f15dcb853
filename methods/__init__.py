"""Built-in methods: one module per family.

Each is a plug-in like any other: it knows the benchmark by the contract in ``fomo`` alone.
"""
