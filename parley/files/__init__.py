"""Folders that an operator fills, and the JSON files in them: read, checked, and looked at for changes.

And of the SQLite files that workers share, the log in front of them.

The meaning of what a file holds lives with those who use it: `parley.knowledge`, `parley.tools`.
"""
