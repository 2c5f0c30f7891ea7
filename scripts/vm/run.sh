#!/bin/bash
# run.sh COMMAND... - boots a Debian kernel with pure cgroup v2 in qemu (software emulation, no KVM needed), runs COMMAND
# in it and exits with its code. The guest's disk holds busybox, a few tools of the host, the kernel's modules, and the files
# named in $VM_FILES (HOST_PATH[:GUEST_PATH], separated by spaces). No network beyond the guest.
#
#   VM_KERNEL   `stable` (Debian 12, the default), `recent`, or a package: see kernel.sh
#   VM_CGROUP   `v2` (default) or `v1`: which hierarchies the guest mounts
#   VM_COUNT    1: one instruction is one nanosecond, on one processor (for measurements; slow)
#   VM_TIMEOUT  seconds until the guest is given up (default 3600)
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$PWD/target/vm; mkdir -p "$work"
export PATH=$PATH:/usr/sbin:/sbin

kernel=$(scripts/vm/kernel.sh "${VM_KERNEL:-stable}")
version=$(ls "$kernel/lib/modules")

root=$(mktemp -d) early=$(mktemp -d) disk=$work/disk.$$ initramfs=$work/initramfs.$$
trap 'rm -rf "$root" "$early" "$disk" "$initramfs"' EXIT
mkdir -p "$root"/{bin,dev,etc,lib/modules,proc,root,run,sys,tmp,usr/bin,usr/local/bin,var/tmp,tests}
chmod 755 "$root"; chmod 1777 "$root/tmp" "$root/var/tmp"
cp /bin/busybox "$root/bin/"; for applet in $(/bin/busybox --list); do [ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"; done
ln -s /bin/busybox "$root/usr/bin/busybox"
# libraries_of FILE...: into the guest.
libraries_of() {
  { ldd "$@" 2>/dev/null || true; } | { grep -o '/[^ ):]*' || true; } | sort -u | while read -r library; do
    [ -e "$root$library" ] || { mkdir -p "$root$(dirname "$library")"; cp -L "$library" "$root$library"; }
  done
}
# Where busybox has too little of a tool, the host's own with its libraries.
for tool in setpriv unshare nsenter script tar nft ip ss curl openssl docker-registry apparmor_parser mkfs.ext4 ${VM_TOOLS:-}; do
  file=$(PATH=$PWD/target/tools/bin:$PATH command -v "$tool") || continue
  cp "$(readlink -f "$file")" "$root/usr/bin/$tool"
  libraries_of "$file"
done
[ ! -e /usr/lib/ssl/openssl.cnf ] || { mkdir -p "$root/usr/lib/ssl"; cp -L /usr/lib/ssl/openssl.cnf "$root/usr/lib/ssl/"; }
# Python as the host's system has it, without what was installed besides.
if [ -x /usr/bin/python3 ]; then
  library=$(/usr/bin/python3 -Ic 'import sysconfig; print(sysconfig.get_path("stdlib"))')
  cp "$(readlink -f /usr/bin/python3)" "$root/usr/bin/python3"; libraries_of /usr/bin/python3
  mkdir -p "$root$library"
  tar -C "$library" --exclude=__pycache__ --exclude=test --exclude='*-packages' --exclude=idlelib --exclude='config-*' -c . | tar -x -C "$root$library"
  libraries_of "$library"/lib-dynload/*.so
fi
cp /etc/protocols "$root/etc/" 2>/dev/null || true
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
printf 'root:x:0:\nnobody:x:65534:\n' >"$root/etc/group"
docker=$(command -v docker || true); [ ! -x target/tools/bin/docker ] || docker=target/tools/bin/docker
[ -z "$docker" ] || cp "$(readlink -f "$docker")" "$root/usr/bin/docker"
for pair in ${VM_FILES:-}; do
  from=${pair%%:*} to=${pair#*:}; [ "$to" != "$pair" ] || to=/tests/$(basename "$from")
  mkdir -p "$root$(dirname "$to")"; cp -r "$from" "$root$to"
done

# What containers need and this kernel has as modules; an absent one is built in, or missing, which the tests then say.
modules=(overlay veth bridge br_netfilter nf_tables nft_chain_nat nft_nat nft_masq nft_ct nft_fib_inet nf_conntrack
  nf_conntrack_netlink nft_reject_inet nft_limit nft_log nft_redir nft_numgen ip_vs ip_vs_rr ip_vs_wrr ip_vs_sh erofs xfs loop tun
  vxlan macvlan ipvlan dummy 8021q sctp fuse quota_v2)
# add_modules ROOT MODULE...: with what they need, listed in ROOT/modules in the order of insertion.
add_modules() {
  local root=$1 module file name; shift
  : >"$root/modules"
  for module; do
    { modprobe -d "$kernel" -S "$version" --show-depends "$module" 2>/dev/null || true; } |
      sed -n 's/^insmod \([^ ]*\).*/\1/p' | while read -r file; do
        name=$(basename "$file"); [ -e "$root/lib/modules/${name%.xz}" ] && continue
        cp "$file" "$root/lib/modules/$name"
        [ "${name%.xz}" = "$name" ] || xz -d "$root/lib/modules/$name"
        echo "${name%.xz}" >>"$root/modules"
      done
  done
}
add_modules "$root" "${modules[@]}"

printf '%q ' "$@" >"$root/command"
echo "VM_CGROUP=${VM_CGROUP:-v2}" >"$root/settings"
cat >"$root/init" <<'INIT'
#!/bin/sh
export PATH=/usr/local/bin:/usr/bin:/bin HOME=/root TMPDIR=/var/tmp IN_VM=1
. /settings
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm; mount -t devpts -o ptmxmode=666 devpts /dev/pts; mount -t tmpfs shm /dev/shm
mount -t securityfs securityfs /sys/kernel/security
mount -t tmpfs run /run
if [ "$VM_CGROUP" = v1 ]; then
  mount -t tmpfs cgroup /sys/fs/cgroup
  for name in cpu,cpuacct cpuset memory pids devices freezer blkio net_cls,net_prio perf_event hugetlb; do
    mkdir "/sys/fs/cgroup/$name"; mount -t cgroup -o "$name" cgroup "/sys/fs/cgroup/$name" || rmdir "/sys/fs/cgroup/$name"
  done
else
  mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
fi
while read -r module; do insmod "/lib/modules/$module" || echo "no $module"; done </modules
ip link set lo up
ln -s /proc/self/fd /dev/fd
ulimit -n 65536
echo "guest: Linux $(uname -r), cgroup $VM_CGROUP: $(cat /sys/fs/cgroup/cgroup.controllers 2>/dev/null || ls /sys/fs/cgroup | tr '\n' ' ')"
# A session leader with a terminal, as tests of terminals expect.
setsid cttyhack sh /command </dev/null
echo "guest exit code: $?"
poweroff -f
INIT
chmod +x "$root/init"
# pivot_root does not work on an initramfs: the disk is the root.
mkdir -p "$early"/{bin,dev,proc,new,lib/modules}; cp /bin/busybox "$early/bin/"
for applet in sh mount insmod switch_root; do ln -s busybox "$early/bin/$applet"; done
add_modules "$early" virtio_pci virtio_blk
cat >"$early/init" <<'INIT'
#!/bin/sh
mount -t devtmpfs dev /dev
while read -r module; do insmod "/lib/modules/$module"; done </modules
mount -t ext4 /dev/vda /new
mount -t devtmpfs dev /new/dev; mount -t proc proc /new/proc
exec switch_root /new /init
INIT
chmod +x "$early/init"
(cd "$early" && find . -print0 | cpio --null --quiet -o -H newc) >"$initramfs"

log=$work/console-${VM_KERNEL:-stable}.log
accel=(-accel tcg,thread=multi -smp 2)
[ -z "${VM_COUNT:-}" ] || accel=(-accel tcg,thread=single -icount "shift=0,sleep=off" -smp 1)
# Two processors that are emulated at once sometimes wait for each other for ever, in the kernel. It then panics, which says
# nothing about us: a new guest begins from the beginning.
for attempt in 1 2 3; do
  rm -f "$disk"; truncate -s 8G "$disk"
  mkfs.ext4 -q -F -O ^has_journal -d "$root" "$disk"
  timeout "${VM_TIMEOUT:-3600}" qemu-system-x86_64 "${accel[@]}" -cpu max -m 3072 -nographic -no-reboot -nodefaults \
    -serial stdio -kernel "$kernel"/boot/vmlinuz-* -initrd "$initramfs" \
    -drive "file=$disk,if=virtio,format=raw,cache=unsafe" \
    -append "console=ttyS0 quiet panic=-1 loglevel=3 watchdog_thresh=30 softlockup_panic=1 rdinit=/init" </dev/null |
    sed -u 's/\r$//' | tee "$log"
  code=$(sed -n 's/^guest exit code: //p' "$log" | tail -1)
  [ -z "$code" ] && grep -q 'Kernel panic.*softlockup' "$log" || break
  echo "the guest's kernel has locked up (attempt $attempt)" >&2
done
[ -n "$code" ] || { echo "the guest ended without a result" >&2; exit 1; }
exit "$code"
