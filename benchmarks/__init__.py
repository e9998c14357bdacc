"""Measures the library against its peers, in pairs; see README.md."""
