#!/bin/bash
# test.sh [short] - runs the privileged tests on a Debian kernel with pure cgroup v2 in qemu and exits with their result.
# `short` leaves out what takes long under software emulation.
set -euo pipefail
cd "$(dirname "$0")/../.."
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --quiet -p wharf
mapfile -t tests < <(cargo test --no-run --message-format=json -q -p linux -p runtime -p supervisor -p store -p network -p e2e --lib --tests 2>/dev/null |
  python3 -c 'import json,sys
for line in sys.stdin:
    m = json.loads(line)
    if m.get("profile", {}).get("test") and m.get("executable"): print(m["executable"] + ":/tests/" + m["target"]["name"])')
[ ${#tests[@]} -gt 0 ] || { echo "no tests were built" >&2; exit 1; }
rootfs=$(mktemp); trap 'rm -f "$rootfs" "$rootfs.sh"' EXIT
scripts/busybox-rootfs.sh >"$rootfs"
# In the guest there is neither Python nor a registry nor the transcripts; those tests run on the host.
cat >"$rootfs.sh" <<'GUEST'
export WHARF_BIN=/usr/local/bin/wharf WHARF_RUNTIME=/usr/local/bin/wharf-runtime WHARF_TEST_ROOTFS=/tests/rootfs.tar
ln -s wharf /usr/local/bin/wharf-runtime
failed=
for test in $TESTS; do
  [ -x "/tests/$test" ] || continue
  echo "== $test"
  timeout 400 /tests/$test privileged_ --test-threads=2 --skip python --skip gnu_tar --skip real_registry --skip push:: --skip dockers_client --skip prints_what --skip hostile --skip a_terminal_has $SKIP || failed="$failed $test"
done
[ -z "$failed" ] || { echo "failed:$failed"; exit 1; }
GUEST
names=$(printf '%s\n' "${tests[@]##*/tests/}" | tr '\n' ' ') skip=
# What depends on cgroups most: the runtime, the supervisor, and containers end to end.
[ "${1:-}" != short ] || {
  names="linux conformance containers in_process escapes privileged e2e"
  skip="--skip gibibyte --skip any_moment --skip miss_nothing --skip copy:: --skip networks:: --skip http:: --skip images:: --skip streams:: --skip faults::"
}
VM_FILES="target/$host/debug/wharf:/usr/local/bin/wharf $rootfs:/tests/rootfs.tar $rootfs.sh:/tests/all.sh ${tests[*]}" \
  scripts/vm/run.sh env "SKIP=$skip" "TESTS=$names" sh /tests/all.sh
