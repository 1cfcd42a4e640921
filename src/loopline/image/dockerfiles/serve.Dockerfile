# syntax=docker/dockerfile:1
# The server of one model: no torch, not root, writes nothing but /tmp. `loopline image serve MODEL` prepares
# `.image/serve` and builds this; what changes often comes last, so that a change of code rebuilds in seconds.
{base}
FROM base AS packages
WORKDIR /build
RUN python3 -m venv /opt/venv
COPY .image/serve/requirements.lock ./
# The secret is this machine's pip.conf, where it has one; no layer keeps it.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --requirement requirements.lock
COPY .image/serve/loopline ./loopline
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --find-links loopline --requirement loopline/requirement.txt \
 && /opt/venv/bin/python -m pip uninstall --yes --quiet pip setuptools

FROM base
RUN groupadd --gid 10001 loopline \
 && useradd --uid 10001 --gid loopline --no-create-home --home-dir /tmp --shell /usr/sbin/nologin loopline
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/srv/src \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    LOOPLINE_SERVE_HOST=0.0.0.0 \
    LOOPLINE_SERVE_LOG=/tmp/predictions.db \
    LOOPLINE_SERVE_SHUTDOWN_TIMEOUT_S=8
WORKDIR /srv
COPY --from=packages /opt/venv /opt/venv
COPY .image/serve/model /srv/model
COPY src /srv/src
ARG EXTEND=""
ARG REVISION=unknown
ARG BUNDLE=unknown
ENV LOOPLINE_EXTEND=${EXTEND}
LABEL org.opencontainers.image.revision=${REVISION} \
      dev.loopline.bundle.digest=${BUNDLE}
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD ["python", "-m", "loopline.serving.probe"]
ENTRYPOINT ["loopline", "serve", "/srv/model"]
