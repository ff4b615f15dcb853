"""The pocket's images, one module for each kind."""
