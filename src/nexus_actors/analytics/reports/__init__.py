"""Reports: what happened in a period, beside the one before, and what follows from it.

A report is a plain value first; page, PDF and mail are ways to read it.
"""
