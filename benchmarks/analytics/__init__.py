"""Benchmarks of the analytics domain."""
