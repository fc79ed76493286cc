#!/usr/bin/env bash
# Log files, line by line, with kcat: those in KAFSCALE_TEST_LOGS_DIR, and generated ones.
set -euo pipefail
source "$(dirname "$0")/../common.sh"

apt_install kcat kcat
exec node "$runner" "$@" logs
