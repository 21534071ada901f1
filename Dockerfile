# The service, as nobody in particular: no root, nothing writable but /data and /tmp.
FROM python:3.11-slim AS build
WORKDIR /app
COPY requirements.lock pyproject.toml ./
RUN python -m venv /venv && /venv/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY README.md ./
COPY core ./core
COPY payments ./payments
COPY bots ./bots
RUN /venv/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --home-dir /data --create-home creditbot
COPY --from=build /venv /venv
USER creditbot
WORKDIR /data
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp/matplotlib CREDITBOT_HTTP_HOST=0.0.0.0
EXPOSE 8080
HEALTHCHECK CMD ["python", "-c", "import os, urllib.request as r; r.urlopen('http://127.0.0.1:' + os.environ.get('CREDITBOT_HTTP_PORT', '8080') + '/healthz', timeout=3)"]
CMD ["sh", "-c", "creditbot migrate && exec creditbot run"]
