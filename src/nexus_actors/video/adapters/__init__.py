"""One module per packaging format."""
