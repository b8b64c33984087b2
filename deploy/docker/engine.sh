# A Docker engine with `docker compose`, for `make test-docker`. To be sourced by bash.
#
# Where an engine answers, it is used. Else, as root on Debian, one of our own runs until
# `stop_engine`, with its socket, data and images in $docker_cache: whoever looks for Docker's usual
# socket is not disturbed. The images that it has no registry for are made of Debian's packages.

docker_cache=${VPP_STATE_DIR:-$HOME/.cache/vpp_streams}/docker
engine_pid=

say() { echo "$(date +%T) $*"; }

# Exports DOCKER_HOST and DOCKER_CONFIG where it starts one; sets `base` to the image that ours is
# built on, `builder` to the one that it is built in, `build_words` to the words that `docker build`
# needs here, and `docker_buildkit`.
start_engine() {
    base=python:3.11-slim
    builder=python:3.11
    docker_buildkit=1
    build_words=()
    if docker info >/dev/null 2>&1 && docker compose version >/dev/null 2>&1; then
        say "a Docker engine answers; it is used"
        return
    fi
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        echo "make test-docker: start Docker with its compose plugin first, or be root on Debian" >&2
        exit 1
    fi
    _install docker.io dockerd
    _install debootstrap debootstrap
    _install iptables iptables
    mkdir -p "$docker_cache"
    # One engine on this data at a time.
    exec 9>"$docker_cache/engine.lock"
    flock --nonblock 9 || { echo "make test-docker: another run has the engine" >&2; exit 1; }
    export DOCKER_HOST=unix://$docker_cache/docker.sock DOCKER_CONFIG=$docker_cache
    # No rule of this machine's firewall is changed; published ports go through docker-proxy.
    setsid dockerd --host "$DOCKER_HOST" --data-root "$docker_cache/data" \
        --exec-root "$docker_cache/exec" --pidfile "$docker_cache/dockerd.pid" \
        --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false \
        >"$docker_cache/dockerd.log" 2>&1 9>&- &
    engine_pid=$!
    _until "the engine" 60 docker info
    _build_compose_plugin
    base=vpp-base-python:local
    _import_root "$base" python3,python3-venv,ca-certificates
    builder=vpp-builder-python:local
    _import_root "$builder" python3-dev,python3-venv,ca-certificates,gcc
    _build_kafka
    _build_postgres
    _fetch_wheels
    build_words=(--build-arg PIP_NO_INDEX=1)
    docker_buildkit=0 # it is a plugin of its own, which Debian 12 does not have
    say "an engine of our own runs"
}

# Ends the engine that `start_engine` started, with what runs on it.
stop_engine() {
    [ -n "$engine_pid" ] || return 0
    docker ps --all --quiet | xargs --no-run-if-empty docker rm --force >/dev/null 2>&1 || true
    kill "$engine_pid" 2>/dev/null || true
    wait "$engine_pid" 2>/dev/null || true
    engine_pid=
}

_install() { # package program
    command -v "$2" >/dev/null && return
    say "installing $1"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

_until() { # what seconds command...
    local what=$1 left=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || { echo "make test-docker: $what does not answer" >&2; exit 1; }
        sleep 1
    done
}

_has_image() { docker image inspect "$1" >/dev/null 2>&1; }

_build_compose_plugin() { # 4 CPU minutes, the first time
    local plugin=$docker_cache/cli-plugins/docker-compose
    [ -x "$plugin" ] && return
    say "building docker compose (4 CPU minutes, only this once)"
    mkdir -p "${plugin%/*}"
    local module=github.com/docker/compose/v2
    local version
    version=$(cd "$docker_files/compose-plugin" && go list -m -f '{{.Version}}' "$module")
    (cd "$docker_files/compose-plugin" && CGO_ENABLED=0 nice go build -trimpath \
        -ldflags "-s -w -X $module/internal.Version=$version" -o "$plugin" "$module/cmd")
}

_import_root() { # image packages
    _has_image "$1" && return
    say "making $1 of Debian's packages"
    local root
    root=$(mktemp -d "$docker_cache/root.XXXXXX")
    debootstrap --variant=minbase --include="$2" bookworm "$root" >"$docker_cache/debootstrap.log"
    rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* \
        "$root"/usr/share/doc/* "$root"/usr/share/man/* "$root"/usr/share/locale/*
    tar -C "$root" -c . | docker import - "$1" >/dev/null
    rm -rf "$root"
}

_build_kafka() {
    local image pom=$docker_files/../kafka/pom.xml context
    image=$(sed -n 's/^ *image: \(apache\/kafka:.*\)$/\1/p' "$docker_files/../../docker-compose.yml")
    _has_image "$image" && return
    _import_root vpp-base-java:local openjdk-17-jre-headless
    context=$(mktemp -d "$docker_cache/kafka.XXXXXX")
    cp "$docker_files"/stand-ins/kafka/* "$context"
    mvn -B -q -f "$pom" dependency:copy-dependencies -DincludeScope=runtime \
        -DoutputDirectory="$context/libs"
    DOCKER_BUILDKIT=0 docker build -q -t "$image" "$context" >/dev/null 2>&1
    rm -rf "$context"
}

_build_postgres() {
    local image
    image=$(sed -n 's/^ *image: \(postgres:.*\)$/\1/p' "$docker_files/../../docker-compose.yml")
    _has_image "$image" && return
    _import_root vpp-base-postgres:local postgresql-15
    DOCKER_BUILDKIT=0 docker build -q -t "$image" "$docker_files/stand-ins/postgres" >/dev/null 2>&1
}

# The engine's builds reach no network: the wheels go into the build's context.
_fetch_wheels() {
    local lock=$docker_files/../../requirements-runtime.lock wheels=$docker_cache/wheels
    cmp --silent "$lock" "$wheels/of.lock" || {
        say "fetching the image's libraries"
        mkdir -p "$wheels"
        "$python" -m pip wheel --quiet --no-deps --find-links "$wheels" --wheel-dir "$wheels" \
            -r "$lock" 'setuptools>=77'
        cp "$lock" "$wheels/of.lock"
    }
    rm -rf "$docker_files/../image/wheels"
    cp -r "$wheels" "$docker_files/../image/wheels"
    rm "$docker_files/../image/wheels/of.lock"
}
