"""The wire format, pure: requests in (`request`), chunks (`chunks`), event streams (`sse`). No I/O here.

The literals of the format occur in this package only.
"""
