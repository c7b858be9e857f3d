"""Parley without HTTP: plain objects and generators. Nothing here imports Flask or `blueprints`.

    answers/     what each endpoint says, as generators of payload batches and as JSON
    server/      gunicorn's side: a worker's life, the start's banner, limits of open files
    operators/   what only `flask` commands run: kb check, import, eval; audio check, align
    services, turn, admission, client_connection   a request on its way, from its socket to its log line
    upstream/    the model behind us: routing, attempts, the reading of its streams, the embedded model
    knowledge/   files to passages, an index of them, and what the model is told of those found
    speech/      recordings, synthesis, the times of words, the pace of speech
    http_client/ HTTP/1.1 on gevent's sockets
    wire/        the wire format, pure: requests, chunks, event streams
    telemetry/   log lines, metrics, and taking secrets out of text
    errors, settings, setting_types, turn_record, concurrency, tcp   what all others stand on

An arrow goes from a line to lines below it only; tests/test_architecture.py holds that.
"""
