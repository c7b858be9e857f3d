"""The embedded demonstration model: SmolLM2-135M-Instruct behind llama.cpp's own server, on loopback.

gunicorn's master ── model_process ──► child process: model_server     one for all workers
a worker          ── client ─────────► its HTTP API
"""
