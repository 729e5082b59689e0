#!/bin/sh
# Typed in a terminal: detaches the server, prints its URL, gives the prompt back.
# Run by systemd, launchd, supervisord, runit, s6 or as a container's command: becomes the server.
# The `exec` matters: without it the supervisor watches this shell, and not the server.
exec forerun \
  --config "$(dirname "$0")/forerun.toml" "$@"
