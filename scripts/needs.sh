#!/bin/bash
# needs.sh quickstart|test|test-vm|bench - installs what that target of the Makefile needs and does not find, with apt-get and
# cargo, on Debian or Ubuntu with Rust. Says in one line what it installs; says nothing when all is there.
set -euo pipefail

declare -A PACKAGE_OF=(
  [cc]=gcc [make]=make [busybox-static]=busybox-static [python3]=python3 [ip]=iproute2 [unshare]=util-linux [script]=bsdutils
  [nft]=nftables [jq]=jq [docker-registry]=docker-registry [debootstrap]=debootstrap [crun]=crun [runc]=runc
  [qemu-system-x86_64]=qemu-system-x86 [cpio]=cpio [depmod]=kmod [xz]=xz-utils [mkfs.ext4]=e2fsprogs)
case ${1:-} in
  quickstart) commands=(cc busybox-static python3 unshare script) ;;
  test | test-vm) commands=(cc busybox-static python3 ip unshare script nft jq docker-registry debootstrap qemu-system-x86_64 cpio depmod xz mkfs.ext4) ;;
  bench) commands=(cc busybox-static python3 ip unshare runc) ;;
  *) echo "usage: needs.sh quickstart|test|test-vm|bench" >&2; exit 2 ;;
esac

is_there() {
  case $1 in
    # The command `busybox` may be a dynamic one; a container needs it static.
    busybox-static) [ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1 ;;
    *) PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null ;;
  esac
}

missing=()
for command in "${commands[@]}"; do
  is_there "$command" || missing+=("${PACKAGE_OF[$command]}")
done
if [ "$1" = test ] && ! python3 -c 'import venv, ensurepip' 2>/dev/null; then missing+=(python3-venv); fi

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
updated=
update() { [ -n "$updated" ] || as_root apt-get update -q >/dev/null; updated=yes; }
if [ ${#missing[@]} -gt 0 ]; then
  echo "installing: ${missing[*]}"
  update
  # A package that starts a service of its own has no business here.
  DEBIAN_FRONTEND=noninteractive as_root env RUNLEVEL=1 apt-get install -qy --no-install-recommends "${missing[@]}" >/dev/null
fi

# Docker's own client, unmodified: the judge of our daemon. Never its daemon.
if ! command -v docker >/dev/null && [ ! -x target/tools/bin/docker ]; then
  echo "installing: docker client (into target/tools)"
  update
  mkdir -p target/tools/bin target/tools/deb
  package=docker-cli
  apt-cache show docker-cli >/dev/null 2>&1 || package=docker.io
  (cd target/tools/deb && apt-get download -q "$package" >/dev/null && dpkg-deb -x "$package"_*.deb .)
  cp target/tools/deb/usr/bin/docker target/tools/bin/docker
fi

if [ "$1" = test ]; then
  if ! command -v cargo-deny >/dev/null; then
    echo "installing: cargo-deny"
    cargo install --quiet --locked cargo-deny --root target/tools --target-dir target/tools/build
  fi
  # The Python SDK, as a second client that we did not write.
  if ! target/tools/python/bin/python -c 'import docker' 2>/dev/null; then
    echo "installing: Docker's Python SDK (into target/tools/python)"
    python3 -m venv target/tools/python
    target/tools/python/bin/pip install --quiet --disable-pip-version-check docker
  fi
fi
