#!/bin/sh
# Checks the workflows with actionlint, which is compiled once into a folder: requirements/actionlint/check.sh FOLDER
# Where it cannot be compiled the check is left out, and the output says so.
set -eu
program=$(realpath "$1")/actionlint
cd "$(dirname "$0")"

if [ ! -x "$program" ] || [ go.mod -nt "$program" ] || [ go.sum -nt "$program" ]; then
	if ! command -v go >/dev/null; then
		echo "actionlint: left out, because go is not installed (https://go.dev/dl, version 1.25 or later)" >&2
		exit 0
	fi
	echo "actionlint: compiling it into $program, once" >&2
	if ! CGO_ENABLED=0 go build -trimpath -o "$program" github.com/rhysd/actionlint/cmd/actionlint; then
		echo "actionlint: left out, because it could not be compiled: is Go's module proxy in reach?" >&2
		exit 0
	fi
	touch "$program"
fi
cd ../..
# Whether shellcheck and pyflakes happen to be installed must make no difference.
exec "$program" -shellcheck= -pyflakes= .github/workflows/*.yaml
