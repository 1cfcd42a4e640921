"""Writes, checks, renders and fills the Markdown report about a project."""
