"""The `flask ...` commands, one file a group."""
