"""A project as files and history: read, parsed, never executed."""
