"""Screens of the commands: results as tables and sentences for a terminal, or as a page."""
