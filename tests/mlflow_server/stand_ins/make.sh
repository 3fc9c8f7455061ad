#!/bin/sh
# Sees to the base images of the stack. One that no registry gives is stood in for by a system of the same release of Debian with the
# same programs under the same names; it takes over this machine's package sources, certificates and settings of pip.
# Usage: make.sh IMAGE ... (of the names below)
set -eu
HERE=$(cd "$(dirname "$0")" && pwd)
MIRROR=$(awk '/^URIs:/ { print $2; exit }' /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)

# A bare Debian, imported as an image.
debian() {
    release=$1
    docker image inspect "debian-stand-in:$release" >/dev/null 2>&1 && return
    command -v debootstrap >/dev/null || apt-get install -qq --no-install-recommends debootstrap >/dev/null
    folder=$(mktemp -d)
    debootstrap --variant=minbase --include=ca-certificates "$release" "$folder" "${MIRROR:?must be named in /etc/apt/sources.list.d/debian.sources}" >/dev/null
    cp -a /usr/local/share/ca-certificates/. "$folder/usr/local/share/ca-certificates/"
    # As in the original: no documentation, no package that was downloaded stays, and none starts a service.
    printf 'path-exclude /usr/share/%s/*\n' doc man locale >"$folder/etc/dpkg/dpkg.cfg.d/slim"
    rm -rf "$folder"/usr/share/doc/* "$folder"/usr/share/man/* "$folder"/usr/share/locale/*
    echo 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; }; Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";' \
        >"$folder/etc/apt/apt.conf.d/slim"
    printf '#!/bin/sh\nexit 101\n' >"$folder/usr/sbin/policy-rc.d"
    chmod +x "$folder/usr/sbin/policy-rc.d"
    chroot "$folder" update-ca-certificates >/dev/null 2>&1
    rm -rf "$folder"/var/cache/apt/archives/*.deb "$folder"/var/lib/apt/lists/*
    tar -C "$folder" --one-file-system -c . |
        docker import -c 'CMD ["bash"]' -c 'ENV LANG=C.UTF-8' - "debian-stand-in:$release" >/dev/null
    rm -rf "$folder"
}

# Folders of wheels that pip reads on this machine go along; folders of other indexes do not, and nothing here needs them.
settings_of_pip() {
    mkdir "$1/wheels"
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\nfind-links = /opt/wheels\n' >"$1/pip.conf"
    for place in $(python3 -m pip config get global.find-links 2>/dev/null || true); do
        [ ! -d "$place" ] || cp "$place"/torch-*.whl "$1/wheels/"
    done
}

for image in "$@"; do
    docker image inspect "$image" >/dev/null 2>&1 && continue
    docker pull --quiet "$image" >/dev/null 2>&1 && continue
    echo "set-up: standing in for the image $image" >&2
    context=$(mktemp -d)
    cp "$HERE"/* "$context"
    case "$image" in
        python:3.11-slim-bookworm) debian bookworm && settings_of_pip "$context" && file=python.Dockerfile ;;
        postgres:17-bookworm) debian trixie && file=postgres.Dockerfile ;;
        caddy:2) debian bookworm && file=caddy.Dockerfile ;;
        *) echo "error: $image: must be an image that a registry gives, or python, postgres or caddy. Name one." >&2 && exit 2 ;;
    esac
    docker build --quiet --tag "$image" --file "$context/$file" "$context" >/dev/null
    rm -rf "$context"
done
