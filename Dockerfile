# The environment of the pipeline; docker-compose.yml mounts its code.
FROM python:3.11-slim-bookworm

# The base image has one release of Debian. Chromium draws without a graphics card, for which it brings what it needs: Mesa's
# drivers, and the compiler of their shaders, would be a quarter of these packages.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends chromium-headless-shell fonts-liberation git \
    && dpkg --purge --force-depends libgl1-mesa-dri libllvm15 libz3-4 \
    && rm -rf /var/lib/apt/lists/*
ENV BROWSER_PATH=/usr/bin/chromium-headless-shell

WORKDIR /environment
COPY conda.yaml pyproject.toml requirements.lock ./
ARG TORCH_INDEX=
# `ray` adds Ray, and what it needs beside the rest.
ARG LAUNCHER=
# The tests of packages, and what torch compiles and tests its own code with, would be a tenth of the image.
# conda.yaml lists the packages without the development tools, the lock has their hashes.
# hadolint ignore=DL3013
RUN awk -v launcher="$LAUNCHER" 'NR == FNR { if ($1 == "-") wanted[$2]; next } /^[^ ]/ { on = $1 in wanted || (launcher == "ray" && $1 ~ /^(ray|jsonschema|jsonschema-specifications|msgpack|referencing|rpds-py)==/) } on' conda.yaml requirements.lock > base.requirements.lock \
    && pip install --no-cache-dir --no-deps --require-hashes --requirement base.requirements.lock \
    && pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(sed -n 's/^  "\(torch==.*\)",/\1/p' pyproject.toml)" \
    && find /usr/local/lib/python3.11 -depth \
        \( -type d -name tests -o -path '*/torch/test' -o -path '*/torch/include' -o -path '*/torch/bin/test_*' \) -exec rm -r {} +

WORKDIR /project
ENTRYPOINT ["python", "-m", "pipeline"]
