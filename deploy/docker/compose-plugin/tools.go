//go:build tools

// Package composeplugin pins the `docker compose` that `make test-docker` builds: Debian 12 has
// Docker's engine, and no package of this plugin.
package composeplugin

import _ "github.com/docker/compose/v2/cmd"
