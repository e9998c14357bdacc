"""The queue: everything that knows dramatiq or Redis."""
