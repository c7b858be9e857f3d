"""An HTTP/1.1 client on gevent's sockets: kept connections, requests in one write, responses as they arrive.

README.md beside this file says why it exists, with figures. Nothing here knows chat completions.
"""
