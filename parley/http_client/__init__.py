"""An HTTP/1.1 client on gevent's sockets: connections kept, requests written in one piece, responses read as they come.

Why it is our own, with figures: README.md beside this file. Nothing here knows chat completions.
"""
