#!/bin/bash
# Loads the plist that `forerun unit launchd` writes into the real launchd, kills the server ten times, and looks whether
# the pid that launchd has is the one that answers. A runner has no login at the screen: it is a daemon of the machine.
set -euo pipefail
cd "$(dirname "$0")/../.."
port=18787
folder=$(mktemp -d /Users/Shared/forerun.XXXXXX)
cp target/debug/forerun target/debug/examples/fixture "$folder"
cat >"$folder/forerun.toml" <<TOML
name = "ci"
command = ["./fixture", "serve", "$port", "--answer-pid"]
[health]
check = "http://127.0.0.1:$port/"
TOML

forerun() { sudo "$folder/forerun" "$@" --config "$folder/forerun.toml"; }
launchd_pid() { sudo launchctl print system/forerun.ci | sed -n 's/^	pid = //p'; }
answer() { curl -sf --max-time 2 "http://127.0.0.1:$port/" || true; }
trap 'forerun unit launchd --uninstall; sudo rm -rf "$folder"' EXIT

forerun unit launchd --install --now
plutil -lint /Library/LaunchDaemons/forerun.ci.plist
forerun doctor
for kill in {1..10}; do
  before=$(answer)
  [ "$before" = "$(launchd_pid)" ] || { echo "launchd has $(launchd_pid), $before answers"; exit 1; }
  sudo kill -KILL "$before"
  # ThrottleInterval is ten seconds.
  for _ in {1..300}; do
    after=$(answer)
    [ -z "$after" ] || [ "$after" = "$before" ] || break
    sleep 0.1
  done
  [ -n "$after" ] && [ "$after" != "$before" ] || { echo "kill $kill: it does not serve again"; exit 1; }
  echo "kill $kill: $before, then $after"
done
# Out of date: written anew by the next start, and read by nobody until it is loaded again.
{ echo 'grace = "7s"'; cat "$folder/forerun.toml"; } >"$folder/new.toml"
mv "$folder/new.toml" "$folder/forerun.toml"
sudo kill -KILL "$(answer)"
for _ in {1..300}; do sudo grep -q '<integer>7</integer>' /Library/LaunchDaemons/forerun.ci.plist && break; sleep 0.1; done
sudo grep -q '<integer>7</integer>' /Library/LaunchDaemons/forerun.ci.plist
sudo launchctl print system/forerun.ci | grep 'exit timeout = 10'
forerun unit launchd --install --now
sudo launchctl print system/forerun.ci | grep 'exit timeout = 7'
