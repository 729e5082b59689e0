#!/bin/bash
# systemd.sh FOLDER
#
# Boots a systemd that is pid 1 of namespaces of its own, with journald and no other unit, and ends it when
# stdin ends. Prints the pid that it has outside once it is up. `nsenter -t PID -m -u -i -p -C COMMAND` goes in.
#
# The root file system, /tmp and the network are the machine's. /run, /etc/systemd, /dev, the cgroup tree and the
# units are its own. Whoever kills this script kills everything in it: --pdeathsig, --kill-child.
set -eu
stage=${2-outside}
cd "$1"
folder=$PWD
group=${folder//[^[:alnum:].-]/_}

# Pid 1, before it becomes systemd.
if [ "$stage" = inside ]; then
  umask 022
  umount -R /sys/fs/cgroup
  mount -t cgroup2 none /sys/fs/cgroup
  mount -t tmpfs -o mode=755 none /run
  mkdir -p /run/systemd/system /run/lock

  mount -t tmpfs -o mode=755 none /etc/systemd
  mkdir /etc/systemd/system
  printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\nForwardToSyslog=no\nRateLimitIntervalSec=0\n' >/etc/systemd/journald.conf
  tr -d - </proc/sys/kernel/random/uuid >machine-id
  mount --bind machine-id /etc/machine-id

  vendor=$(dirname "$(readlink -f /lib/systemd/system/systemd-journald.service)")
  mount -t tmpfs -o mode=755 none units
  cp "$vendor"/systemd-journald.{service,socket} units
  printf '[Unit]\nDefaultDependencies=no\nRequires=systemd-journald.service\nAfter=systemd-journald.service\nAllowIsolate=yes\n' >units/sysinit.target
  printf '[Unit]\nDefaultDependencies=no\n' | tee units/basic.target units/sockets.target >units/shutdown.target
  mount --move units "$vendor"
  mount -t tmpfs none "$(dirname "$vendor")/system-generators"

  mount -t tmpfs -o mode=755 none dev
  for name in null zero full random urandom tty; do
    : >dev/$name
    mount --bind /dev/$name dev/$name
  done
  mkdir dev/pts dev/shm dev/mqueue
  mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 none dev/pts
  mount -t tmpfs -o mode=1777 none dev/shm
  ln -s pts/ptmx dev/ptmx
  ln -s /proc/self/fd dev/fd
  mount --move dev /dev

  # What is shared with the machine is nothing for a second pid 1 to change.
  mount --bind /proc/sys /proc/sys
  mount -o remount,bind,ro /proc/sys
  [ ! -e /proc/sysrq-trigger ] || mount --bind /dev/null /proc/sysrq-trigger
  mount -o remount,bind,ro /sys
  cd /
  exec setpriv --bounding-set=-sys_module,-sys_boot,-sys_time,-sys_rawio,-syslog \
    env -i container=forerun-test PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --system --unit=sysinit.target --show-status=0 --log-target=journal
fi

# The mounts and the cgroup are there for our children only.
if [ "$stage" = mounts ]; then
  umount -R /sys/fs/cgroup 2>/dev/null || true
  mount -t cgroup2 none /sys/fs/cgroup
  mkdir "/sys/fs/cgroup/$group"
  echo $$ >"/sys/fs/cgroup/$group/cgroup.procs"
  exec unshare --cgroup --pid --fork --kill-child=KILL --uts --ipc --mount-proc --propagation private \
    bash "$0" "$folder" inside
fi

mkdir units dev
setsid setpriv --pdeathsig KILL unshare --mount --propagation private bash "$0" "$folder" mounts </dev/null >boot.log 2>&1 &
outer=$!

clean_up() {
  trap '' INT TERM HUP
  kill -KILL "$outer" 2>/dev/null || true
  wait "$outer" 2>/dev/null || true
  # Its groups can be removed once the kernel has ended all that was in them.
  # The folder itself may be gone by then.
  cd /
  group=$group unshare --mount --propagation private bash -c '
    umount -R /sys/fs/cgroup 2>/dev/null
    mount -t cgroup2 none /sys/fs/cgroup || exit
    for _ in {1..200}; do
      find "/sys/fs/cgroup/$group" -depth -type d -exec rmdir {} + 2>/dev/null
      [ -d "/sys/fs/cgroup/$group" ] || exit 0
      sleep 0.02
    done
    echo "the cgroup $group is not empty" >&2' || true
}
trap clean_up EXIT
trap 'exit 1' INT TERM HUP

# The child of `outer` that is in another pid namespace.
find_init() {
  for pid in $(ps -o pid= --ppid "$outer"); do
    [ "$(readlink "/proc/$pid/ns/pid")" = "$(readlink /proc/self/ns/pid)" ] || echo "$pid"
  done
}
for _ in {1..600}; do
  kill -0 "$outer" 2>/dev/null || break
  init=$(find_init 2>/dev/null) || true
  if [ -n "$init" ] && [ -S "/proc/$init/root/run/systemd/private" ] &&
    nsenter -t "$init" -m -u -i -p -C -- systemctl is-active --quiet sysinit.target 2>/dev/null; then
    echo "$init"
    while read -r; do :; done
    exit 0
  fi
  sleep 0.02
done
echo "the private systemd did not come up:" >&2
cat boot.log >&2
exit 1
