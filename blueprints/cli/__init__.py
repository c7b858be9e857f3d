"""The `flask ...` commands, one file for each group."""
