"""The model behind us: routing and attempts, the reading of its streams, its errors, the embedded model.

Nothing here knows Flask, the knowledge or speech; they meet in `parley/answers/`.
"""
