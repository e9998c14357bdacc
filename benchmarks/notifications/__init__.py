"""Notifications, against what a host would write."""
