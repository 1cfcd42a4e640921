"""Decides from a repository's files what a project really does: checklist items and findings."""
