#!/bin/bash
# run.sh [TARGET...] - feeds targets with mutations of their corpus until SECONDS_EACH (60) have passed, two at a time; fails at
# the first panic, overflow, endless loop (10 s) or greed for memory (1 GiB). What failed lies in target/fuzz/found.
#
# On 2026-11-21 all targets ran ten minutes each without a find: 6 to 33 million inputs.
#
# libFuzzer with stable Rust: it wants the coverage counters that these flags give, and no more.
set -euo pipefail
cd "$(dirname "$0")/.."
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
cargo build --quiet --release --manifest-path fuzz/Cargo.toml --target-dir target/fuzz
built=target/fuzz/$(rustc -vV | sed -n 's/^host: //p')/release
targets=("$@"); [ $# -gt 0 ] || targets=($(sed -n 's/^path = "targets\/\(.*\)\.rs"/\1/p' fuzz/Cargo.toml))
mkdir -p target/fuzz/found
one() {
  local name=$1
  mkdir -p "target/fuzz/corpus/$name"
  # What is found goes to the first folder; the small one that is kept is only read.
  nice -n 19 "$built/$name" -max_total_time="${SECONDS_EACH:-60}" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
    -artifact_prefix="target/fuzz/found/$name-" -verbosity=0 "target/fuzz/corpus/$name" "fuzz/corpus/$name" >"target/fuzz/$name.log" 2>&1 ||
    { tail -30 "target/fuzz/$name.log" >&2; echo "$name: FAILED" >&2; return 1; }
  echo "$name: $(sed -n 's/^stat::number_of_executed_units: *//p' "target/fuzz/$name.log") inputs in ${SECONDS_EACH:-60} s"
}
failed=
for ((i = 0; i < ${#targets[@]}; i += 2)); do
  one "${targets[i]}" & first=$!
  second=
  [ -z "${targets[i + 1]:-}" ] || { one "${targets[i + 1]}" & second=$!; }
  wait "$first" || failed=yes
  [ -z "$second" ] || wait "$second" || failed=yes
done
[ -z "$failed" ]
