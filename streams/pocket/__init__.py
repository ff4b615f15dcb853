"""The pocket: small datasets drawn offline, so that a whole experiment runs in about a minute."""
