"""The pocket's base models: their pretraining, and their card."""
