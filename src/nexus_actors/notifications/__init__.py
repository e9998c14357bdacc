"""Notifications: mail, text messages, push, chat and webhooks, each sent once."""
