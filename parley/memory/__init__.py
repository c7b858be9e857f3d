"""The memory of conversations: what a platform does not send with each turn, kept by session for a while.

The platform's history wins as far as it reaches; memory adds only what lies before it. `policy.py` decides, as pure
functions over plain values; `stores.py` and `redis_store.py` keep.
"""
