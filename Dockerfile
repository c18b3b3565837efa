# Journeycast with everything it needs to train, score and serve; compose.yaml shows it with its neighbours.

FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /opt/journeycast
RUN python -m venv /opt/venv
# The lock alone first: as long as it stays the same, this layer does too.
COPY requirements-runtime.lock ./
RUN /opt/venv/bin/pip install --require-hashes -r requirements-runtime.lock
COPY pyproject.toml README.md LICENSE journeycast.py mlproject.yml ./
COPY commands commands
COPY features features
COPY training training
COPY serving serving
COPY journeys journeys
RUN /opt/venv/bin/pip install --no-deps --no-build-isolation -e . && /opt/venv/bin/python -m compileall -q .

FROM python:3.11-slim-bookworm
# LightGBM needs the OpenMP library; Debian keeps one version of it per release.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home --home-dir /var/lib/journeycast journeycast
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/journeycast /opt/journeycast
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 JOURNEYCAST_HOME=/var/lib/journeycast
WORKDIR /var/lib/journeycast
VOLUME /var/lib/journeycast
USER 10001
EXPOSE 8000
# Alive is enough here: a server without models or store says so at /readyz and recovers by itself.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["journeycast"]
CMD ["serve", "complete_journey", "--host", "0.0.0.0", "--log-format", "json"]
