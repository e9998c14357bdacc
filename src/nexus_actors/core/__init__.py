"""What needs no queue and knows no domain."""
