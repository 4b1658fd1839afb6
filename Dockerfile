# Both stages take the same base: the virtual environment of the first runs on the Python of the second.
# A release build pins it: --build-arg PYTHON_IMAGE=python:3.13-slim-trixie@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim-trixie

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements/build.lock requirements/run.lock requirements/
# pip lives in an environment of its own, so that none is left in the image's.
RUN python -m venv /opt/build \
 && python -m venv --without-pip /opt/venv \
 && /opt/build/bin/pip install --require-hashes --only-binary :all: -r requirements/build.lock \
 && /opt/build/bin/pip --python /opt/venv/bin/python install --require-hashes --only-binary :all: -r requirements/run.lock
COPY LICENSE README.md pyproject.toml ./
COPY crds crds
COPY operator operator
RUN /opt/build/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /dist . \
 && /opt/build/bin/pip --python /opt/venv/bin/python install --no-deps --no-index /dist/*.whl

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="egress-operator" \
      org.opencontainers.image.description="One short EgressPolicy instead of up to eleven Istio objects per outside host" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /tmp
# A number, so that a cluster can see that it is not root.
USER 65532:65532
EXPOSE 8080 9090
ENTRYPOINT ["egressctl", "run"]
