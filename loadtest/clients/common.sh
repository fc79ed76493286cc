# For the run.sh of each client: where things are, and how a client gets installed once.
# What a client needs lives under .cache/clients/NAME, outside of version control.

here=$(cd "$(dirname "${BASH_SOURCE[1]}")" && pwd)
root=$(cd "$here/../.." && cd .. && pwd)
name=$(basename "$here")
cache=$root/.cache/clients/$name
runner=$root/loadtest/dist/clients/main.js

if [ ! -e "$runner" ]; then
  echo "not built: run \`npm ci\` first" >&2
  exit 1
fi

# install_once FILE… -- COMMAND…: runs the command unless it succeeded before with the same files.
install_once() {
  local files=()
  while [ "$1" != -- ]; do
    files+=("$1")
    shift
  done
  shift
  local stamp
  stamp=$(cat "${files[@]}" | sha256sum)
  if [ "$(cat "$cache/installed" 2>/dev/null)" != "$stamp" ]; then
    rm -rf "$cache"
    mkdir -p "$cache"
    "$@" >&2
    echo "$stamp" >"$cache/installed"
  fi
}

# apt_install COMMAND PACKAGE: installs a Debian package unless the command is there.
apt_install() {
  command -v "$1" >/dev/null && return 0
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$2" >&2
}
