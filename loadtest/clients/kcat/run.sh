#!/usr/bin/env bash
# kcat, as Debian ships it. Options go to the checks (see loadtest/src/clients/main.ts).
set -euo pipefail
source "$(dirname "$0")/../common.sh"

apt_install kcat kcat
exec node "$runner" "$@" kcat
