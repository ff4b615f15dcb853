"""The pocket's pictures, one module for each kind."""
