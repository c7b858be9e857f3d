"""How gunicorn serves the small servers of this folder: one worker, as many callers as come, nothing logged."""

worker_class = "gevent"
workers = 1
worker_connections = 5000
backlog = 4096
keepalive = 75
loglevel = "error"
graceful_timeout = 3
control_socket_disable = True
