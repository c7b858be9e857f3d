"""The model behind us: connections, the reading of its streams, its verdicts, the embedded model.

Nothing here knows Flask, the knowledge or speech; they meet in `parley/answers.py`.
"""
