"""Analytics, against what a host would write."""
