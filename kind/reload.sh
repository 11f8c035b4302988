#!/bin/sh
# Entry point of the development image: runs the role that its arguments name and restarts it when a source changes.
# The sources are copied to /tmp because that is what a pod with a read-only root file system can write to; `tilt up`
# puts changed files there.
set -eu
[ -d /tmp/source ] || cp -r /opt/application /tmp/source
exec watchfiles --filter python "$*" /tmp/source
