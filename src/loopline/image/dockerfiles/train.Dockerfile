# syntax=docker/dockerfile:1
# Training: arguments are Hydra overrides, as in `docker run IMAGE trainer.max_epochs=3`. Data, runs and bundles live in
# the volume /workspace. `loopline image train` prepares `.image/train` and builds this.
{base}
FROM base AS packages
WORKDIR /build
RUN python3 -m venv /opt/venv
COPY .image/train/requirements.lock ./
# The secret is this machine's pip.conf, where it has one; no layer keeps it.
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --requirement requirements.lock
# Torch comes in several builds, and each brings what only it needs. Another index than pip's own may have the one for
# the base, such as PyTorch's own for processors.
ARG PIP_EXTRA_INDEX_URL=""
COPY .image/train/requirements-torch.txt ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --requirement requirements-torch.txt
COPY .image/train/loopline ./loopline
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --find-links loopline --requirement loopline/requirement.txt

FROM base
RUN groupadd --gid 10001 loopline \
 && useradd --uid 10001 --gid loopline --no-create-home --home-dir /tmp --shell /usr/sbin/nologin loopline \
 && install --directory --owner loopline --group loopline /workspace
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/srv/src \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    LOOPLINE_HOME=/workspace
WORKDIR /srv
COPY --from=packages /opt/venv /opt/venv
COPY conf /srv/conf
COPY src /srv/src
ARG EXTEND=""
ARG REVISION=unknown
ENV LOOPLINE_EXTEND=${EXTEND}
LABEL org.opencontainers.image.revision=${REVISION}
USER 10001:10001
VOLUME ["/workspace"]
ENTRYPOINT ["loopline", "train", "--config-dir", "/srv/conf"]
