#!/usr/bin/env bash
# @platformatic/kafka 2, with the Node 22 that it wants (npm's package `node` brings one).
set -euo pipefail
source "$(dirname "$0")/../common.sh"

install_once "$here"/package*.json -- bash -euc "
  cp '$here'/package*.json '$cache'
  npm ci --prefix '$cache' --no-audit --no-fund --loglevel=error"
exec node "$runner" "$@" -- program platformatic-kafka \
  "$cache/node_modules/node/bin/node" "$here/client.mjs" "$cache"
