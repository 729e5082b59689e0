#!/bin/bash
# keep.sh NAME=VALUE COMMAND...: runs COMMAND with NAME=VALUE until stdin ends, then kills it and everything else
# that has NAME=VALUE in its environment.
set -u
mark=$1
shift
# bash ignores SIGINT and SIGQUIT for what it puts into the background, and a supervisor hands that on.
setsid env --default-signal=INT,QUIT "$mark" "$@" </dev/null &
kept=$!

marked() {
  grep -lzxF -e "$mark" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3
}
clean_up() {
  trap '' INT TERM HUP
  # First, so that it restarts nothing.
  kill -KILL "$kept" 2>/dev/null
  wait "$kept" 2>/dev/null
  for _ in {1..200}; do
    left=$(marked)
    [ -n "$left" ] || return
    kill -KILL $left 2>/dev/null
    sleep 0.01
  done
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP
while read -r; do :; done
