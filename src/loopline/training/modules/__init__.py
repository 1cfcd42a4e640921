"""The Lightning modules: one per task."""
