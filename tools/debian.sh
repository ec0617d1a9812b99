#!/bin/sh
# Install Debian packages that are missing; services are kept from starting meanwhile.
# Usage: tools/debian.sh PROGRAM:PACKAGE...   A package is wanted if its program is not on the path; /FILE:PACKAGE if there is no such file.
# As an ordinary user it prints the one line to run instead. DPKG_ROOT is heard as Debian's own tools hear it.
set -eu
missing=""
for pair in "$@"; do
  case $pair in
    /*) [ -e "${pair%%:*}" ] || missing="$missing ${pair#*:}" ;;
    *) command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}" ;;
  esac
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null 2>&1; then
  echo "note: this is not Debian; please install by your own means:$missing" >&2
  exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "note: some programs are missing, and what needs them will not run. To install them:" >&2
  echo "  sudo apt-get install -y --no-install-recommends$missing" >&2
  exit 0
fi
policy=${DPKG_ROOT:-}/usr/sbin/policy-rc.d
made=""
# A trap on a signal that only cleaned up would let the script go on, without the policy.
trap '[ -z "$made" ] || rm -f "$policy"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
if [ ! -e "$policy" ]; then
  made=yes
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
echo "installing Debian packages:$missing" >&2
# shellcheck disable=SC2086
apt-get install -y -q --no-install-recommends $missing >/dev/null 2>&1 || {
  apt-get update -q >/dev/null
  apt-get install -y -q --no-install-recommends $missing >/dev/null
}
