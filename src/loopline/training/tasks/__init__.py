"""One Lightning module per task family."""
