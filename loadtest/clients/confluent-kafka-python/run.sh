#!/usr/bin/env bash
# confluent-kafka for Python: its wheel brings a librdkafka of its own.
set -euo pipefail
source "$(dirname "$0")/../common.sh"

apt_install python3 python3-venv
install_once "$here/requirements.txt" -- bash -euc "
  python3 -m venv '$cache/venv'
  '$cache/venv/bin/pip' install --quiet --disable-pip-version-check -r '$here/requirements.txt'"
exec node "$runner" "$@" -- program confluent-kafka-python "$cache/venv/bin/python" "$here/client.py"
