# One image for every role: the operator, the services of a pipeline and the emulators. The command chooses the role:
#   docker run IMAGE python -m cloudscale.worker
#   docker run IMAGE cloudscale run --example clickstream --host 0.0.0.0 --open
# It builds with BuildKit and with the classic builder alike, so it mounts no caches. A private package index goes in
# with --build-arg PIP_INDEX_URL=…, which no layer of the final stage remembers.

FROM python:3.13-slim-trixie AS dependencies
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends binutils tini && rm -rf /var/lib/apt/lists/*
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG PIP_TRUSTED_HOST
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv --without-pip /opt/cloudscale
COPY requirements/runtime.lock requirements/
RUN pip --python /opt/cloudscale/bin/python install --require-hashes --only-binary :all: -r requirements/runtime.lock
# Almost a third of the size is debugging symbols and the asynchronous twin of the Kubernetes client, which nothing imports.
RUN cd /opt/cloudscale/lib/python3*/site-packages && rm -rf kubernetes/aio && strip uvloop/*.so cryptography/hazmat/bindings/*.so

FROM dependencies AS application
COPY requirements/build.lock requirements/
RUN python -m venv /opt/build && /opt/build/bin/pip install --require-hashes -r requirements/build.lock
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY apps apps
COPY operator operator
RUN /opt/build/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && pip --python /opt/cloudscale/bin/python install --no-deps --target /opt/application /wheels/*.whl

FROM python:3.13-slim-trixie AS runtime
# The first process of a container: the kernel drops a signal that the first process has no handler for yet, and Python
# takes a moment until it can have one. This one hands signals on from its start, and reaps what is left behind.
COPY --from=dependencies /usr/bin/tini-static /usr/bin/tini
ENTRYPOINT ["tini", "--"]
# For the volume of a `cloudscale run`, which takes over owner and mode of the folder that it covers.
RUN install --directory --owner=65532 --group=65532 --mode=0700 /data
# What changes seldom comes first: a change of the sources makes only the last layer new.
COPY --from=dependencies /opt/cloudscale /opt/cloudscale
COPY --from=application /opt/application /opt/application
ENV PATH=/opt/application/bin:/opt/cloudscale/bin:$PATH PYTHONPATH=/opt/application PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
# A number, so that Kubernetes can check runAsNonRoot without the image's list of users. What asks for the user's name or
# home finds it here.
USER 65532:65532
ENV LOGNAME=cloudscale HOME=/tmp
WORKDIR /tmp
CMD ["cloudscale", "--help"]

# `tilt up` uses this one: it runs the sources from a folder that a read-only root file system lets Tilt write to, and
# restarts the role whenever one of them changes.
FROM runtime AS development
USER 0:0
ARG PIP_INDEX_URL
RUN pip --python /opt/cloudscale/bin/python install --no-cache-dir --disable-pip-version-check watchfiles==1.1.1
ENV PYTHONPATH=/tmp/source:/opt/application
COPY kind/reload.sh /usr/local/bin/reload
USER 65532:65532
ENTRYPOINT ["tini", "--", "reload"]

FROM runtime
