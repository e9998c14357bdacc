"""The collectors that we ship."""
