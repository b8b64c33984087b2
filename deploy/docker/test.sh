#!/usr/bin/env bash
# The image and docker-compose.yml, built and run: `make test-docker`.
#
# Uses the Docker engine that answers; without one, root on Debian gets an engine of its own for the
# run (engine.sh). Prints the size, memory and times of what it ran. Everything that was started is
# ended, however it goes; images are kept for the next run.
set -euo pipefail
cd "$(dirname "$0")/../.."
docker_files=deploy/docker
python=$(realpath -s "${PYTHON:-.venv/bin/python}")
vpp=${python%/*}/vpp
source "$docker_files/engine.sh"

# A project of its own, on free ports: a system that runs here already is not disturbed.
export COMPOSE_PROJECT_NAME=vpp-test VPP_IMAGE=vpp-streams:test
read -r VPP_KAFKA_PORT VPP_WEB_PORT VPP_GATEWAY_PORT VPP_ENROL_PORT VPP_RPC_PORT taken < <("$python" -c '
import socket
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(6)]
print(*(each.getsockname()[1] for each in held))')
export VPP_KAFKA_PORT VPP_WEB_PORT VPP_GATEWAY_PORT VPP_ENROL_PORT VPP_RPC_PORT
eval "$(bash "$docker_files/new-env.sh" | sed '/^#/d; s/^/export /')"
compose=(docker compose --profile system --profile demo --profile identity)
began=$SECONDS
work=$(mktemp -d)
# A market as quick as that of `vpp up`.
export VPP_ENV_FILE=$work/vpp.env
printf 'VPP_MARKET_INTERVAL_S=60\nVPP_MARKET_GATE_S=10\n' >"$VPP_ENV_FILE"

finish() {
    local code=$?
    if [ "$code" -ne 0 ] && [ -n "${up:-}" ]; then
        "${compose[@]}" ps --all || true
        "${compose[@]}" logs --tail 5 2>&1 | cut -c1-300 || true
    fi
    [ -z "${up:-}" ] || "${compose[@]}" down --volumes --timeout 20 >/dev/null 2>&1 || true
    stop_engine
    rm -rf deploy/image/wheels "$work"
    say "everything has ended ($((SECONDS - began)) s in all)"
}
trap finish EXIT
die() { echo "make test-docker: $*" >&2; exit 1; }

start_engine
say "building the image"
DOCKER_BUILDKIT=${DOCKER_BUILDKIT:-$docker_buildkit} docker build -q -f deploy/image/Dockerfile \
    --build-arg BASE="$base" --build-arg BUILDER="$builder" "${build_words[@]}" \
    -t "$VPP_IMAGE" . >"$work/build" 2>&1 || die "$(tail -3 "$work/build")"
say "image: $(docker image inspect --format '{{.Size}}' "$VPP_IMAGE" | awk '{ printf "%.0f MB", $1 / 1e6 }'), $(docker save "$VPP_IMAGE" | gzip -1 | wc -c | awk '{ printf "%.0f MB compressed", $1 / 1e6 }')"

alone=(docker run --rm --read-only --cap-drop ALL --network none "$VPP_IMAGE")
started=$(date +%s%N)
"${alone[@]}" --help >/dev/null
say "a container starts and answers in $((($(date +%s%N) - started) / 1000000)) ms"
confined=$(docker run --rm --read-only --cap-drop ALL --network none --entrypoint sh "$VPP_IMAGE" -c \
    'id -u; touch /opt/vpp/x 2>&1 | grep -c "Read-only"; touch /var/lib/vpp/x && echo writes')
[ "$confined" = $'10001\n1\nwrites' ] || die "the image is not confined: $confined"
docker run --rm --network none --entrypoint sh "$VPP_IMAGE" -c \
    'for words in gateway "worker ingest" market "settlement run" "incidents run" "ca serve" web rpc sim; do
         vpp $words --help >/dev/null || exit 1; done' || die "a role's command does not start"

# Kafka alone, as `vpp broker` runs it; and a port that something else has.
"$python" -c "import socket, time
with socket.create_server(('127.0.0.1', $taken)): time.sleep(60)" &
squatter=$!
for words in start run; do
    said=$(VPP_KAFKA=localhost:$taken VPP_STATE_DIR=$work timeout 50 "$vpp" broker "$words" 2>&1) && die "a taken port was used"
    [[ $said == *"port $taken is taken"* ]] || die "broker $words on a taken port says: $said"
done
kill "$squatter"
up=1
started=$SECONDS
VPP_KAFKA=localhost:$VPP_KAFKA_PORT VPP_STATE_DIR=$work "$vpp" broker start 2>/dev/null >"$work/broker"
[ "$(docker compose ps --services)" = kafka ] || die "vpp broker start started more than Kafka"
say "vpp broker start: Kafka alone, in $((SECONDS - started)) s"
VPP_KAFKA=localhost:$VPP_KAFKA_PORT VPP_STATE_DIR=$work "$vpp" broker stop >/dev/null

started=$SECONDS
docker compose --profile system --profile demo up --detach --wait --wait-timeout 420 >"$work/up" 2>&1 ||
    die "$(tail -3 "$work/up")"
say "every container is healthy after $((SECONDS - started)) s"

link=$(docker compose exec -T web vpp accounts add judge --role operator 2>/dev/null)
"$python" -c 'import sys, urllib.request; urllib.request.urlopen(sys.argv[1], timeout=10)' "$link" ||
    die "the link to sign in with leads nowhere: $link"
VPP_TOKEN=$(docker compose exec -T web vpp accounts token judge --days 1 2>/dev/null | sed -n 's/^VPP_TOKEN=//p')
[ -n "$VPP_TOKEN" ] || die "no token"
export VPP_TOKEN
VPP_KAFKA=localhost:$VPP_KAFKA_PORT "$python" deploy/docker/judge.py --seconds "${SECONDS_MEASURED:-60}"
say "healthy, as vpp up --check judges"
docker stats --no-stream --format '{{.Name}} {{.MemUsage}} {{.CPUPerc}}' |
    sed "s/$COMPOSE_PROJECT_NAME-//; s/-1 / /" | sort | awk '{ printf "  %-11s %10s %7s\n", $1, $2, $5 }'

docker compose --profile system --profile demo up --detach --wait --wait-timeout 420 \
    --scale region=2 --scale optimizer=2 --scale settlement=2 >"$work/up" 2>&1 || die "$(tail -3 "$work/up")"
say "two each of region, optimizer and settlement; the one that works is paused:"
VPP_KAFKA=localhost:$VPP_KAFKA_PORT "$python" deploy/docker/pause.py
say "taken over, and nothing was done twice"
