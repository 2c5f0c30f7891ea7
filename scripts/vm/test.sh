#!/bin/bash
# test.sh [short] - runs the privileged tests on Debian kernels with pure cgroup v2 in qemu and exits with their result.
#
# The long form runs all of them on both kernels of kernel.sh, or on $VM_KERNEL; `short` runs on Debian 12's what depends on
# the kernel most: cgroups, the runtime, the supervisor, containers end to end with a network. $VM_TESTS is a list of one's own: a
# program and the names that it filters its tests by, a line each.
set -euo pipefail
cd "$(dirname "$0")/../.."
host=$(rustc -vV | sed -n 's/^host: //p')
built=${CARGO_TARGET_DIR:-target}/$host/debug
cargo build --quiet -p wharf
cargo build --quiet -p runtime --features weakened --example wharf-runtime-weakened
mapfile -t tests < <(cargo test --no-run --message-format=json -q -p linux -p runtime -p supervisor -p store -p network -p e2e --lib --tests 2>/dev/null |
  python3 -c 'import json,sys
for line in sys.stdin:
    m = json.loads(line)
    if m.get("profile", {}).get("test") and m.get("executable"): print(m["executable"] + ":/tests/" + m["target"]["name"])')
[ ${#tests[@]} -gt 0 ] || { echo "no tests were built" >&2; exit 1; }
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
scripts/busybox-rootfs.sh >"$work/rootfs.tar"

# What is run: a program and the names that it filters its tests by, a line each.
if [ -n "${VM_TESTS:-}" ]; then
  printf '%s\n' "$VM_TESTS" >"$work/list"
  kernels=${VM_KERNEL:-stable recent}
elif [ "${1:-}" = short ]; then
  cat >"$work/list" <<'LIST'
linux privileged_
conformance privileged_
conformance_operations privileged_
conformance_configuration privileged_
containers privileged_
in_process privileged_
escapes privileged_
rootless privileged_
privileged privileged_
command_line privileged_
e2e containers::privileged_ privileged_published_ports find_each_other_by_name vlan
LIST
  kernels=${VM_KERNEL:-stable}
else
  # The longest last: what fails shows early.
  for test in "${tests[@]}"; do echo "${test##*/} privileged_"; done | sort | grep -v '^e2e ' >"$work/list"
  echo "e2e privileged_" >>"$work/list"
  kernels=${VM_KERNEL:-stable recent}
fi
# What measures, what writes gigabytes, and what the guest has no place for: a Debian root file system, an SDK, transcripts.
cat >"$work/all.sh" <<'GUEST'
export WHARF_BIN=/usr/local/bin/wharf WHARF_RUNTIME=/usr/local/bin/wharf-runtime WHARF_TEST_ROOTFS=/tests/rootfs.tar
export WHARF_RUNTIME_WEAKENED=/usr/local/bin/wharf-runtime-weakened
ln -s wharf /usr/local/bin/wharf-runtime
failed=
while read -r test filters; do
  [ -x "/tests/$test" ] || { failed="$failed $test"; continue; }
  echo "== $test ($(cut -d. -f1 /proc/uptime) s)"
  # A bound on what hangs. Emulated on a busy machine, minutes are nothing.
  timeout 5400 "/tests/$test" $filters --test-threads=2 --skip real_registry --skip sdk:: --skip parity:: --skip kills:: --skip few_descriptors --skip gibibyte --skip measure </dev/null || failed="$failed $test"
done </tests/list
echo "== done ($(cut -d. -f1 /proc/uptime) s)"
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
GUEST
failed=
for kernel in $kernels; do
  VM_KERNEL=$kernel VM_TIMEOUT=${VM_TIMEOUT:-10800} VM_FILES="$built/wharf:/usr/local/bin/wharf $built/examples/wharf-runtime-weakened:/usr/local/bin/wharf-runtime-weakened
    $work/rootfs.tar $work/all.sh $work/list ${tests[*]}" scripts/vm/run.sh sh /tests/all.sh || failed="$failed $kernel"
done
[ -z "$failed" ] || { echo "failed on:$failed" >&2; exit 1; }
