"""What the engine adds to dramatiq's middleware."""
