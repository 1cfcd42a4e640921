"""Layer 5: the command line. Each command is a thin wrapper of a plain function, which it imports when it is called."""
