#!/bin/bash
# Runs Wharf end to end on a private daemon: an image made without network, containers by Wharf's client and by
# Docker's own, logs, exec, an interactive terminal. Removes all it made. Called by `make quickstart`.
set -euo pipefail
export PATH=$PWD/target/tools/bin:$PATH:/usr/sbin:/sbin
[ "$(id -u)" = 0 ] || { echo "quickstart: a container engine needs root; try: sudo -E make quickstart" >&2; exit 1; }

host=$(rustc -vV | sed -n 's/^host: //p')
wharf=$PWD/target/$host/release/wharf
work=$(mktemp -d /var/tmp/wharf-quickstart.XXXXXX)
export DOCKER_HOST=unix://$work/wharf.sock DOCKER_CONFIG=$work/config DOCKER_CLI_HINTS=false
daemon=
finish() {
  status=$?
  if [ -n "$daemon" ]; then
    "$wharf" ps -aq 2>/dev/null | xargs -r "$wharf" rm -f >/dev/null 2>&1 || true
    kill "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  fi
  [ "$status" = 0 ] || { echo "quickstart failed; the daemon's log:" >&2; tail -20 "$work/log" >&2; }
  rm -rf "$work"
}
trap finish EXIT
show() { printf '\n$ %s\n' "$*"; "$@"; }
wharf() { "$wharf" "$@"; }

echo "A private daemon in $work, in a network namespace of its own:"
echo "$ wharf daemon -H $DOCKER_HOST --data-root $work/data --exec-root $work/run"
unshare --net -- sh -c 'ip link set lo up 2>/dev/null || /bin/busybox ip link set lo up; exec "$@"' sh "$wharf" daemon -H "$DOCKER_HOST" --data-root "$work/data" --exec-root "$work/run" >"$work/log" 2>&1 &
daemon=$!
for _ in $(seq 500); do wharf version >/dev/null 2>&1 && break; sleep 0.02; done

printf '\n$ scripts/busybox-rootfs.sh | wharf import - busybox:latest\n'
scripts/busybox-rootfs.sh | wharf import --change 'CMD ["sh"]' - busybox:latest
show wharf images
show wharf run --rm busybox echo "hello from Wharf"
show docker version --format 'Docker client {{.Client.Version}}, Wharf engine {{.Server.Version}}, API {{.Server.APIVersion}}'
show docker run --rm busybox echo "hello from Docker's own client"
show docker run -d --name web busybox sh -c 'echo serving; exec sleep 1000'
show wharf ps --format 'table {{.Names}}\t{{.Image}}\t{{.Command}}\t{{.State}}'
show docker logs web
show wharf exec web sh -c 'echo "inside: $(hostname), process 1 is: $(tr "\0" " " </proc/1/cmdline)"'
printf '\n$ docker run --rm -it busybox sh      # a terminal, driven by a script\n'
# (the shell asks the terminal where its cursor is, which needs no showing)
{ { sleep 0.5; printf 'tty\n'; printf 'stty size\n'; printf 'exit 3\n'; sleep 0.5; } |
  script -qec "stty rows 40 cols 120; docker run --rm -it busybox sh" /dev/null || echo "[exit code $?]"; } | sed 's/\x1b\[6n//g'
show wharf rm -f web
printf '\nAll of it ran on %s, and nothing is left of it.\n' "$(wharf version --format '{{.Server.Version}}')"
