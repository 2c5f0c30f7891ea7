#!/bin/bash
# Every check and test, in the order in which a mistake shows fastest. Called by `make test`.
set -euo pipefail
export PATH=$PWD/target/tools/bin:$PATH:/usr/sbin:/sbin
step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }

step "format"
cargo fmt --all --check
step "licences, bans, sources"
cargo deny --log-level error check bans licenses sources
step "lints"
cargo clippy --quiet --workspace --all-targets -- -D warnings
step "crate arrows, status table, house rules"
cargo xtask tidy
step "build"
cargo build --quiet --workspace --bins
# And the runtime without its defences, against which each escape must succeed.
cargo build --quiet -p runtime --features weakened --example wharf-runtime-weakened
# A Debian root file system, for the test that pulls one from a real registry; kept from run to run.
if [ ! -e target/debian/done ] && [ "$(id -u)" = 0 ]; then
  step "debootstrap"
  rm -rf target/debian && mkdir -p target/debian
  debootstrap --variant=minbase stable target/debian/rootfs >target/debian/log || { tail -5 target/debian/log >&2; exit 1; }
  touch target/debian/done
fi
step "tests"
[ "$(id -u)" = 0 ] || echo "not root: tests named privileged_ will fail; run make test as root"
cargo test --quiet --workspace --lib --bins --tests --no-fail-fast
step "privileged tests on cgroup v2, in a virtual machine"
if command -v qemu-system-x86_64 >/dev/null; then
  scripts/vm/test.sh short
else
  echo "skipped: no qemu-system-x86_64"
fi
step "done"
