#!/bin/sh
# Installs, through apt, the outside programs that tests run; does nothing when they are there.
set -eu

missing=""
need() { # need PACKAGE FILE-OR-PROGRAM: note the package as missing unless the program or file exists
    case $2 in
    /*) [ -e "$2" ] || missing="$missing $1" ;;
    *) command -v "$2" >/dev/null || missing="$missing $1" ;;
    esac
}

need postgresql-15 /usr/lib/postgresql/15/bin/postgres
need postgresql-15-pgsphere /usr/lib/postgresql/15/lib/pg_sphere.so
need stilts stilts
need chromium chromium
need chromium-driver chromedriver
need libxml2-utils xmllint
need strace strace
need nginx-light /usr/sbin/nginx

[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "Tests need these programs, and there is no apt here to install them:$missing" >&2
    echo "Install them by your system's own means; 'make check' runs without them." >&2
    exit 1
fi

as_root=""
if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root="sudo"
    else
        echo "Tests need these programs, and only root may install them. Have this run once:" >&2
        echo "    sudo apt-get install --no-install-recommends$missing" >&2
        echo "'make check' runs without them." >&2
        exit 1
    fi
fi

echo "installing for the tests:$missing"
$as_root apt-get update -qq
# shellcheck disable=SC2086 # each word is a package
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -qq -y --no-install-recommends $missing
