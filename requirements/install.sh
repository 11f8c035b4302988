#!/usr/bin/env bash
# Makes an environment of what locks name, with this project in it, and says how far it is:
#   requirements/install.sh FOLDER LOCK...
# PYTHON names the interpreter. WITH_PIP asks for another pip than the one that comes with it.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$1
shift
python=${PYTHON:-python3}
export PIP_DISABLE_WITH_PIP_CHECK=1 PIP_PROGRESS_BAR=off PIP_ROOT_USER_ACTION=ignore

say() { printf '%s\n' "$*" >&2; }

# Reads what pip says and tells the number of packages: one changing line on a terminal, elsewhere a line now and then.
show_progress() {
	local total=$1 count=0 line
	while IFS= read -r line; do
		case $line in
		Collecting* | Ignoring* | 'Requirement already satisfied'*)
			count=$((count + 1))
			if [ -t 2 ]; then
				printf '\r  package %d of %d ' "$count" "$total" >&2
			elif [ $((count % 20)) -eq 0 ]; then
				say "  package $count of $total"
			fi
			;;
		'Installing collected packages'*)
			[ ! -t 2 ] || say ""
			say "  all are here, unpacking them"
			;;
		esac
	done
}

total=$(cat "$@" | grep -oE '^[a-z0-9][a-z0-9._-]*' | sort -u | wc -l)
say "Making the environment $folder of $total packages with $("$python" --version). This is done once, and again when ${*} change."
"$python" -m venv "$folder"
if [ -n "${WITH_PIP:-}" ]; then
	"$folder/bin/python" -m pip install --quiet "pip==$WITH_PIP"
fi
"$folder/bin/python" -m pip install --require-hashes "${@/#/--requirement=}" | show_progress "$total"
say "  building cloudscale itself"
"$folder/bin/python" -m pip install --quiet --no-deps --no-build-isolation --editable .
say "Environment $folder is ready: $(du -sh "$folder" | cut -f 1)."
