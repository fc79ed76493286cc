#!/usr/bin/env bash
# franz-go, in a small Go program.
set -euo pipefail
source "$(dirname "$0")/../common.sh"

apt_install go golang-go
install_once "$here"/go.mod "$here"/go.sum "$here"/*.go -- \
  go -C "$here" build -o "$cache/client" .
exec node "$runner" "$@" -- program franz-go "$cache/client"
