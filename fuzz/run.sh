#!/usr/bin/env bash
# Fuzzes each target, or those that are named, for SECONDS_EACH (60) seconds. Needs a nightly toolchain and a C++ compiler.
set -euo pipefail
cd "$(dirname "$0")/.."

toolchain="${TOOLCHAIN:-nightly}"
seconds="${SECONDS_EACH:-60}"
command -v cargo-fuzz >/dev/null || cargo install --locked cargo-fuzz

targets=("$@")
if [[ ${#targets[@]} == 0 ]]; then
    mapfile -t targets < <(cargo "+$toolchain" fuzz list)
fi
cargo "+$toolchain" fuzz build
for target in "${targets[@]}"; do
    printf '\n== %s\n' "$target"
    # What is found goes to the first folder, which git does not know; the others are only read.
    found="fuzz/found/$target"
    folders=("$found" "fuzz/corpus/$target")
    mkdir -p "$found"
    [[ -d fuzz/regressions/$target ]] && folders+=("fuzz/regressions/$target")
    cargo "+$toolchain" fuzz run "$target" "${folders[@]}" -- \
        -max_total_time="$seconds" -max_len=65600 -len_control=50 -timeout=10 -rss_limit_mb=1024 -malloc_limit_mb=128 \
        -use_value_profile=1 -print_final_stats=1
done
