"""One module for each provider, named after its vendor."""
