#!/bin/sh
# Looks for the PostgreSQL server, which tests start on loopback. As root on Debian it installs Debian's; otherwise it prints what
# to do.
if command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && grep -qs '^ID=debian' /etc/os-release; then
    echo "set-up: installing Debian's PostgreSQL, for one test"
    export DEBIAN_FRONTEND=noninteractive
    if apt-get update -qq >/dev/null 2>&1 &&
        apt-get install -qq --no-install-recommends postgresql >/dev/null 2>&1; then
        exit 0
    fi
fi
echo "set-up: no PostgreSQL found. One test is skipped until it is installed (Debian: apt-get install postgresql)."
