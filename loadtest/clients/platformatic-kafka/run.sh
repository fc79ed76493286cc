#!/usr/bin/env bash
# @platformatic/kafka.
set -euo pipefail
source "$(dirname "$0")/../common.sh"

install_once "$here"/package*.json -- bash -euc "
  cp '$here'/package*.json '$cache'
  npm ci --prefix '$cache' --no-audit --no-fund"
exec node "$runner" "$@" -- program platformatic-kafka node "$here/client.mjs" "$cache"
