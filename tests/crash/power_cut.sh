#!/usr/bin/env bash
# Power cuts on a real file system (ext4), without special hardware: ext4 lives in a file on xfs, and a reflink copy of
# that file is a picture of the block device at one instant, as a power cut would leave it. Each picture is mounted
# (which replays ext4's journal) and every record that had been acknowledged for `all` before must be in it.
#
#   tests/crash/power_cut.sh [pictures]        needs root, loop devices, xfsprogs; about 2 s for each picture
set -euo pipefail
pictures=${1:-20}
cd "$(dirname "$0")/../.."
program=${KILL_PROGRAM:-}
if [ -z "$program" ]; then
    program=$(cargo test -p flymq-storage --test kill --no-run --message-format=json |
        sed -n 's/.*"executable":"\([^"]*kill-[^"]*\)".*/\1/p' | tail -1)
fi

work=$(mktemp -d)
pid=
cleanup() {
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null || true
    wait 2>/dev/null || true
    for mounted in picture disk pool; do
        ! mountpoint -q "$work/$mounted" || umount "$work/$mounted"
    done
    rm -rf "$work"
}
trap cleanup EXIT
mkdir "$work/pool" "$work/disk" "$work/picture"
truncate -s 4G "$work/pool.img"
mkfs.xfs -q -m reflink=1 "$work/pool.img"
mount -o loop "$work/pool.img" "$work/pool"
truncate -s 1G "$work/pool/disk.img"
mkfs.ext4 -q "$work/pool/disk.img"
mount -o loop "$work/pool/disk.img" "$work/disk"

touch "$work/acked"
for i in $(seq "$pictures"); do
    "$program" appender "$work/disk/data" "$i" >"$work/acked.now" 2>/dev/null &
    pid=$!
    # The moment of the cut is chance, and what was acknowledged by then is known before the picture is taken.
    lines=$((RANDOM % 2000 + 1))
    while [ "$(wc -l <"$work/acked.now")" -lt "$lines" ]; do kill -0 "$pid"; done
    cp "$work/acked.now" "$work/acked.then"
    cp --reflink=always "$work/pool/disk.img" "$work/pool/picture.img"
    kill -9 "$pid"
    wait "$pid" 2>/dev/null || true
    # A line that the copy cut off was not read by anybody.
    { cat "$work/acked"; sed -n '/ \(all\|leader\)$/p' "$work/acked.then"; } >"$work/seen"
    mount -o loop "$work/pool/picture.img" "$work/picture"
    "$program" check "$work/picture/data" "$work/seen"
    umount "$work/picture"
    sed -n '/ \(all\|leader\)$/p' "$work/acked.now" >>"$work/acked"
done
echo "$pictures power cuts: acknowledged for all and lost: 0; starts that failed: 0"
