# The environment of the pipeline; docker-compose.yml mounts its code.
FROM python:3.11-slim-bookworm

# The base image has one release of Debian.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends chromium fonts-liberation git \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /environment
COPY pyproject.toml requirements.lock ./
ARG TORCH_INDEX=
# hadolint ignore=DL3013
RUN pip install --no-cache-dir --no-deps --require-hashes --requirement requirements.lock \
    && pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(sed -n 's/^  "\(torch==.*\)",/\1/p' pyproject.toml)"

WORKDIR /project
ENTRYPOINT ["python", "-m", "pipeline"]
