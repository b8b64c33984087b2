#!/usr/bin/env bash
# Secrets for docker-compose.yml, new ones each time: bash deploy/docker/new-env.sh > .env
# Once a database has been created, its password is the one of that time: keep the file.
set -euo pipefail
umask 077
random() { head -c 24 /dev/urandom | od -An -v -t x1 | tr -d ' \n'; }
cat <<END
# The password of the ledger's database.
VPP_DB_PASSWORD=$(random)
# Shared by the web process and the fleet workers.
VPP_SERVICE_TOKEN=$(random)
# The simulated devices' tokens are derived from it.
VPP_SIM_SECRET=$(random)
END
