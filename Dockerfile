# Two images: `client` submits jobs and reads results, `worker` trains.
#   docker build --target client -t fornada-client .
#   docker build --target worker -t fornada-worker .
#   docker build --target worker --build-arg WORKER_LOCK=worker-cuda -t fornada-worker:cuda .
ARG PYTHON_IMAGE=python:3.11-slim

FROM ${PYTHON_IMAGE} AS wheel
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /opt/build
WORKDIR /src
COPY lock/build.txt lock/
RUN /opt/build/bin/pip install --require-hashes -r lock/build.txt
COPY pyproject.toml README.md LICENSE NOTICE ./
COPY cli cli
COPY db db
COPY fornada fornada
COPY worker worker
RUN /opt/build/bin/hatchling build -t wheel -d /wheel

# Packages are installed before the code is copied, so that a change of the code does not install
# them again.
FROM ${PYTHON_IMAGE} AS client-packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python3 -m venv /opt/fornada
COPY lock/client.txt /lock/
RUN /opt/fornada/bin/pip install --require-hashes -r /lock/client.txt

FROM client-packages AS worker-packages
# worker: for CPUs, and for GPUs if the host has the CUDA libraries. worker-cuda: contains them.
ARG WORKER_LOCK=worker
COPY lock/${WORKER_LOCK}.txt /lock/
RUN /opt/fornada/bin/pip install --require-hashes -r /lock/${WORKER_LOCK}.txt

FROM client-packages AS build-client
COPY --from=wheel /wheel /wheel
RUN /opt/fornada/bin/pip install --no-deps /wheel/*.whl

FROM worker-packages AS build-worker
COPY --from=wheel /wheel /wheel
RUN /opt/fornada/bin/pip install --no-deps /wheel/*.whl

FROM ${PYTHON_IMAGE} AS base
# Data are in FORNADA_DATA_ROOT. All hosts share the folder of artifacts. Each container has its own
# home.
ENV PATH=/opt/fornada/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    FORNADA_HOME=/var/lib/fornada \
    FORNADA_ARTIFACTS=/artifacts \
    FORNADA_DATA_ROOT=/srv/fornada
RUN useradd --uid 1000 --create-home fornada \
 && install -d -o fornada -g fornada /var/lib/fornada /artifacts /srv/fornada
USER fornada
WORKDIR /srv/fornada

FROM base AS client
COPY --from=build-client /opt/fornada /opt/fornada
ENTRYPOINT ["fornada"]
CMD ["--help"]

FROM base AS worker
COPY --from=build-worker /opt/fornada /opt/fornada
ENTRYPOINT ["fornada-worker"]
