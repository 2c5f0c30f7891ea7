#!/bin/bash
# systemd.sh - boots a Debian with systemd as process 1 in qemu (pure cgroup v2, software emulation) and runs the tests of cgroups
# that systemd makes (as root, and as a user with a systemd of the own) and of checkpoints, whose criu wants this kernel. Exits
# with their result.
#
#   VM_KERNEL   as for run.sh
#   VM_TIMEOUT  seconds until the guest is given up (default 1800)
#   VM_TESTS    `systemd`, `checkpoint`, or both (default)
#   VM_CGROUP   `v2` (default) or `v1`: which hierarchies systemd mounts
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/target/vm; mkdir -p "$work"
export PATH=$PATH:/usr/sbin:/sbin
target=${CARGO_TARGET_DIR:-target}

base=$work/systemd.tar
if [ ! -e "$base" ]; then
  made=$(mktemp -d)
  debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,busybox-static,uidmap,criu \
    bookworm "$made" >"$work/debootstrap.log"
  tar -C "$made" -cf "$base.new" --exclude=./var/cache/apt --exclude=./var/lib/apt/lists --exclude=./usr/share/doc .
  mv "$base.new" "$base"; rm -rf "$made"
fi
cargo build --quiet -p runtime --bin wharf-runtime
mapfile -t tests < <(cargo test --no-run --message-format=json -q -p runtime --test systemd --test checkpoint 2>/dev/null |
  python3 -c 'import json,sys
for line in sys.stdin:
    m = json.loads(line)
    if m.get("profile", {}).get("test") and m.get("executable"): print(m["executable"], m["target"]["name"])')
[ ${#tests[@]} -eq 2 ] || { echo "the tests were not built" >&2; exit 1; }
host=$(rustc -vV | sed -n 's/^host: //p')
kernel=$(scripts/vm/kernel.sh "${VM_KERNEL:-stable}")
version=$(ls "$kernel/lib/modules")

root=$(mktemp -d) early=$(mktemp -d) disk=$work/systemd.$$ initramfs=$work/systemd-initramfs.$$
trap 'rm -rf "$root" "$early" "$disk" "$initramfs"' EXIT
tar -C "$root" -xf "$base"
mkdir -p "$root/tests" "$root/lib/modules"
for pair in "${tests[@]}"; do cp "${pair% *}" "$root/tests/${pair#* }"; done
cp "$target/$host/debug/wharf-runtime" "$root/usr/local/bin/wharf-runtime"
echo "${VM_TESTS:-systemd checkpoint}" >"$root/tests/list"
cat >"$root/tests/all.sh" <<'GUEST'
#!/bin/sh
echo "guest: Linux $(uname -r), $(systemctl --version | head -1), cgroup $(stat -f -c %T /sys/fs/cgroup)"
useradd --uid 1000 --create-home --shell /bin/sh user
systemctl start user@1000.service || systemctl status user@1000.service
export WHARF_RUNTIME=/usr/local/bin/wharf-runtime TMPDIR=/var/tmp RUST_BACKTRACE=0
code=0
for test in $(cat /tests/list); do echo "== $test"; /tests/$test --test-threads=1 --nocapture || code=1; done
echo "guest exit code: $code"
systemctl poweroff --force --force
GUEST
chmod +x "$root/tests/all.sh"
cat >"$root/etc/systemd/system/tests.service" <<'UNIT'
[Unit]
After=dbus.service systemd-logind.service
Requires=dbus.service
[Service]
Type=oneshot
ExecStart=/tests/all.sh
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
Delegate=yes
[Install]
WantedBy=multi-user.target
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -sf ../tests.service "$root/etc/systemd/system/multi-user.target.wants/tests.service"
for unit in serial-getty@ttyS0.service systemd-networkd.service systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer; do
  ln -sf /dev/null "$root/etc/systemd/system/$unit"
done

mkdir -p "$early"/{bin,dev,proc,new,lib/modules}; cp /bin/busybox "$early/bin/"
for applet in sh mount insmod switch_root; do ln -s busybox "$early/bin/$applet"; done
for module in virtio_pci virtio_blk overlay nf_tables unix_diag af_packet_diag netlink_diag inet_diag tcp_diag udp_diag raw_diag; do
  modprobe -d "$kernel" -S "$version" --show-depends "$module" 2>/dev/null | sed -n 's/^insmod \([^ ]*\).*/\1/p'
done | while read -r file; do
  name=$(basename "$file"); [ -e "$early/lib/modules/${name%.xz}" ] && continue
  cp "$file" "$early/lib/modules/$name"
  [ "${name%.xz}" = "$name" ] || xz -d "$early/lib/modules/$name"
  echo "${name%.xz}" >>"$early/modules"
done
cat >"$early/init" <<'INIT'
#!/bin/sh
mount -t devtmpfs dev /dev; mount -t proc proc /proc
while read -r module; do insmod "/lib/modules/$module"; done </modules
mount -t ext4 /dev/vda /new
exec switch_root /new /lib/systemd/systemd
INIT
chmod +x "$early/init"
(cd "$early" && find . -print0 | cpio --null --quiet -o -H newc) >"$initramfs"
truncate -s 4G "$disk"
mkfs.ext4 -q -F -O ^has_journal -d "$root" "$disk"

unified=1; [ "${VM_CGROUP:-v2}" = v2 ] || unified=0
log=$work/console-systemd.log
timeout "${VM_TIMEOUT:-1800}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 -nographic -no-reboot \
  -nodefaults -serial stdio -kernel "$kernel"/boot/vmlinuz-* -initrd "$initramfs" \
  -drive "file=$disk,if=virtio,format=raw,cache=unsafe" \
  -append "console=ttyS0 quiet panic=-1 loglevel=3 no_timer_check rdinit=/init systemd.unified_cgroup_hierarchy=$unified systemd.show_status=0" \
  </dev/null | sed -u 's/\r$//' | tee "$log"
code=$(sed -n 's/^guest exit code: //p' "$log" | tail -1)
[ -n "$code" ] || { echo "the guest ended without a result" >&2; exit 1; }
exit "$code"
