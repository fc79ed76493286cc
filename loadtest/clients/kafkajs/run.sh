#!/usr/bin/env bash
# kafkajs, with the codecs that its users plug in.
set -euo pipefail
source "$(dirname "$0")/../common.sh"

install_once "$here"/package*.json -- bash -euc "
  cp '$here'/package*.json '$cache'
  npm ci --prefix '$cache' --no-audit --no-fund --loglevel=error"
exec node "$runner" "$@" -- program kafkajs node "$here/client.mjs" "$cache"
