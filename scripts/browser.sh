#!/bin/sh
# Looks for Chromium, which exports figures as PNG. As root on Debian it installs Debian's; otherwise it prints what to do.
for name in "${BROWSER_PATH:-}" chromium chromium-browser google-chrome google-chrome-stable \
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"; do
    if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done
if [ "$(id -u)" = 0 ] && grep -qs '^ID=debian' /etc/os-release; then
    echo "set-up: installing Debian's Chromium, for figures as PNG"
    export DEBIAN_FRONTEND=noninteractive
    if apt-get update -qq >/dev/null 2>&1 &&
        apt-get install -qq --no-install-recommends chromium fonts-liberation >/dev/null 2>&1; then
        exit 0
    fi
fi
echo "set-up: no Chromium found. Figures stay HTML until one is installed (Debian: apt-get install chromium) or BROWSER_PATH names it."
