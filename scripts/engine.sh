#!/bin/sh
# Runs a command with a Docker engine and Compose, for `make test-stack`. If no engine answers, root on Debian gets one for the
# duration of the command, from Debian's packages unpacked into a separate folder; otherwise it prints what to do.
# Usage: engine.sh COMMAND ...
set -eu
PLACE=${TEST_STACK_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/time-embedding-comparison/engine}
# The Compose of older Debian releases does not support `start_interval`.
RELEASE=trixie

if docker version >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then
    exec "$@"
fi
if [ "$(id -u)" != 0 ] || ! grep -qs '^ID=debian' /etc/os-release; then
    echo "error: docker: must answer, with Compose, got nothing. Start Docker 25 or newer, or install it." >&2
    exit 2
fi

sources() {
    mirror=$(awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/debian.sources 2>/dev/null)
    echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] ${mirror:?must be named in /etc/apt/sources.list.d/debian.sources} $RELEASE main"
}

# runc and iptables are installed from the system's own release, because those of a later release may need a later libc.
unpack() {
    echo "set-up: installing Debian's Docker in $PLACE" >&2
    mkdir -p "$PLACE"/apt/lists/partial "$PLACE"/apt/cache/archives/partial "$PLACE"/config/cli-plugins
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >/dev/null
    apt-get install -qq --no-install-recommends runc iptables tini >/dev/null
    sources >"$PLACE"/apt/sources.list
    : >"$PLACE"/apt/status
    apt() {
        apt-get -qq -o Dir::Etc::sourcelist="$PLACE"/apt/sources.list -o Dir::Etc::sourceparts=- -o Dir::State="$PLACE"/apt \
            -o Dir::Cache="$PLACE"/apt/cache -o Dir::State::status="$PLACE"/apt/status -o APT::Sandbox::User=root "$@"
    }
    apt update
    (cd "$PLACE"/apt && apt download docker.io containerd docker-cli docker-compose docker-buildx)
    for package in "$PLACE"/apt/*.deb; do dpkg -x "$package" "$PLACE"/root; done
    ln -sf "$PLACE"/root/usr/libexec/docker/cli-plugins/* "$PLACE"/config/cli-plugins/
    # Replaces the package's own docker-init, if it has one, because that links to a tini that is not unpacked.
    ln -sf "$(command -v tini)" "$PLACE"/root/usr/bin/docker-init
    touch "$PLACE"/unpacked
}

[ -e "$PLACE"/unpacked ] || unpack
export PATH="$PLACE/root/usr/sbin:$PLACE/root/usr/bin:$PATH" DOCKER_HOST="unix://$PLACE/docker.sock" DOCKER_CONFIG="$PLACE/config"
dockerd --host "$DOCKER_HOST" --data-root "$PLACE/data" --exec-root "$PLACE/exec" --pidfile "$PLACE/docker.pid" --group root \
    >"$PLACE/dockerd.log" 2>&1 &
engine=$!
trap 'kill $engine; wait $engine' EXIT
for _ in $(seq 60); do
    docker version >/dev/null 2>&1 && break
    sleep 0.5
done
docker version --format 'engine: Docker {{.Server.Version}}' || { tail -n 20 "$PLACE/dockerd.log" >&2; exit 2; }
"$@"
