"""Layer 1: the words everything else is written in. Nothing here imports a stage or a heavy library."""
