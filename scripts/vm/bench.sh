#!/bin/bash
# bench.sh [COUNT] - times `run` of a bundle of busybox's true with release builds of ours (`wharf runtime`, and the runtime alone) and
# with those of crun and runc that are installed, in turns, in a guest with pure cgroup v2 (VM_CGROUP=v1 for the other).
#
# Emulated, and so at the mercy of what else the machine does: what counts is the ratio. With VM_COUNT=1 qemu counts
# instructions instead, one a nanosecond, on one processor, and passes over idle time: the same on any machine.
set -euo pipefail
cd "$(dirname "$0")/../.."
host=$(rustc -vV | sed -n 's/^host: //p')
wharf=${WHARF:-${CARGO_TARGET_DIR:-target}/$host/release/wharf}
alone=$(dirname "$wharf")/wharf-runtime
[ -x "$wharf" ] && [ -x "$alone" ] || cargo build --release -p wharf -p runtime --bins
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
mkdir -p "$work/bundle/rootfs/bin"
cp /bin/busybox "$work/bundle/rootfs/bin/true"
cat >"$work/bench.py" <<'PYTHON'
import json, os, shutil, statistics, subprocess, sys, time
os.chdir("/tests/bundle")
subprocess.run(["/usr/local/bin/wharf", "runtime", "spec"], check=True)
spec = json.load(open("config.json"))
spec["process"].update(terminal=False, args=["/bin/true"])
spec["ociVersion"] = "1.0.2"  # the crun of Debian 12 knows no later one
json.dump(spec, open("config.json", "w"))
runtimes = {"wharf": ["/usr/local/bin/wharf", "runtime"], "wharf-runtime": ["/usr/local/bin/wharf-runtime"], "crun": ["crun"], "runc": ["runc"]}
runtimes = {name: words for name, words in runtimes.items() if shutil.which(words[0])}
times = {name: [] for name in runtimes}
for turn in range(int(sys.argv[1]) + 2):
    for name, words in runtimes.items():
        start = time.monotonic()
        subprocess.run([*words, "run", f"{name}{turn}"], check=True, stdin=subprocess.DEVNULL)
        if turn >= 2:
            times[name].append((time.monotonic() - start) * 1000)
for name, list in times.items():
    print(f"{name}: median {statistics.median(list):.1f} ms, minimum {min(list):.1f} ms, n = {len(list)}", flush=True)
PYTHON
VM_TOOLS="crun runc" VM_FILES="$wharf:/usr/local/bin/wharf $alone:/usr/local/bin/wharf-runtime $work/bundle:/tests/bundle $work/bench.py:/tests/bench.py ${VM_FILES:-}" \
  scripts/vm/run.sh python3 /tests/bench.py "${1:-20}"
