#!/usr/bin/env bash
# A stranger's walk through README on a fresh system: e2e/fresh-machine.sh FOLDER [SUITE [MIRROR]]
# FOLDER is made by debootstrap from SUITE (bookworm if none is named) unless it is there already. In it: README's
# packages, a clone of what is committed here, `make run`, the first event, `verify`, and `make test` if TESTS=1.
# Needs root and debootstrap. Removes nothing of the folder afterwards.
set -euo pipefail
cd "$(dirname "$0")/.."

root=${1:?a folder for the new system}
suite=${2:-bookworm}
case $suite in
noble) mirror=${3:-http://archive.ubuntu.com/ubuntu} options=(--components=main,universe) ;;
*) mirror=${3:-http://deb.debian.org/debian} options=() ;;
esac
[ -f /usr/share/keyrings/ubuntu-archive-keyring.gpg ] || [ "$suite" != noble ] || options+=(--no-check-gpg)

say() { printf '\n== %s\n' "$*"; }
inside() { chroot "$root" /usr/bin/env --ignore-environment HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	DEBIAN_FRONTEND=noninteractive ${certificates:+PIP_CERT=/etc/ssl/certs/of-this-machine.crt} "$@"; }

if [ ! -d "$root/usr" ]; then
	say "A new $suite in $root"
	# A debootstrap that is older than the suite makes it as it makes all of Ubuntu.
	script=/usr/share/debootstrap/scripts/$suite
	[ -f "$script" ] || script=/usr/share/debootstrap/scripts/gutsy
	debootstrap --variant=minbase "${options[@]}" "$suite" "$root" "$mirror" "$script" >/dev/null
fi
certificates=${SSL_CERT_FILE:-}
if [ -n "$certificates" ]; then
	mkdir -p "$root/etc/ssl/certs"
	cp "$certificates" "$root/etc/ssl/certs/of-this-machine.crt"
fi
cp /etc/resolv.conf "$root/etc/resolv.conf"
# The installers of both systems write this file, debootstrap does not.
[ -e "$root/etc/hosts" ] || printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$root/etc/hosts"
mountpoint -q "$root/proc" || mount -t proc proc "$root/proc"
mountpoint -q "$root/dev" || mount --rbind --make-rslave /dev "$root/dev"
interrupt() {
	[ -n "${pipeline:-}" ] || return 0
	kill -INT -- "-$pipeline" 2>/dev/null || true
	wait "$pipeline" || true
	pipeline=
}
trap 'interrupt; umount --lazy "$root/proc" "$root/dev"' EXIT

packages=$(sed -n 's/^sudo apt-get install --no-install-recommends //p' README.md)
say "README's packages: $packages"
inside apt-get update -qq
# shellcheck disable=SC2086 # a list of words
inside apt-get install -y -qq --no-install-recommends $packages >/dev/null
inside python3 --version
inside python3 -m pip --version 2>/dev/null || true

say "A clone of $(git rev-parse --short HEAD)"
mkdir -p "$root/root/cloudscale"
git archive HEAD | tar --extract --directory "$root/root/cloudscale"

say "make run"
started=$SECONDS
# A process group of its own, as in a terminal, for the same Ctrl-C.
set -m
inside bash -c 'cd /root/cloudscale && exec make run' &
pipeline=$!
set +m
ready() { inside curl --silent --fail --output /dev/null http://127.0.0.1:8080/ready; }
until ready; do
	[ $((SECONDS - started)) -lt 600 ] && kill -0 "$pipeline" || { echo "the pipeline did not become ready" >&2; exit 1; }
	sleep 1
done
echo "ready after $((SECONDS - started)) s"

say "The first event"
# The block of README that sends it, as it stands there.
sed -n '/^curl -i /,/^cloudscale verify/p' README.md | sed '1i set -e\n. .venv/bin/activate' >"$root/root/cloudscale/first-event.sh"
inside bash -c 'cd /root/cloudscale && bash first-event.sh'
interrupt

if [ "${TESTS:-0}" = 1 ]; then
	say "make test"
	inside bash -c 'cd /root/cloudscale && make test'
fi
say "Done: $suite"
