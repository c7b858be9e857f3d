"""What Parley knows beyond the model: documents from a folder, an index, and what the model is told.

Plain values and functions. Nothing here speaks HTTP, imports Flask or reads `os.environ`: the folder comes
as an argument. Never imports `parley.upstream` or `parley.speech`; the three meet in `parley/answers.py`.
"""
