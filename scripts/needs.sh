#!/bin/bash
# needs.sh quickstart|test|test-vm|bench - installs what that target of the Makefile needs and does not find, with apt-get and
# cargo, on Debian or Ubuntu with Rust. Says in one line what it installs; says nothing when all is there.
set -euo pipefail

declare -A PACKAGE_OF=(
  [cc]=gcc [make]=make [busybox-static]=busybox-static [python3]=python3 [ip]=iproute2 [unshare]=util-linux [script]=bsdutils
  [nft]=nftables [jq]=jq [docker-registry]=docker-registry [debootstrap]=debootstrap [crun]=crun [runc]=runc
  [qemu-system-x86_64]=qemu-system-x86 [cpio]=cpio [depmod]=kmod [xz]=xz-utils [mkfs.ext4]=e2fsprogs [strace]=strace
  [curl]=curl [debian-keyring]=debian-archive-keyring)
case ${1:-} in
  quickstart) commands=(cc busybox-static python3 unshare script) ;;
  test | test-vm) commands=(cc busybox-static python3 ip unshare script nft jq docker-registry debootstrap qemu-system-x86_64 cpio depmod xz mkfs.ext4 strace curl debian-keyring) ;;
  bench) commands=(cc busybox-static python3 ip unshare runc) ;;
  *) echo "usage: needs.sh quickstart|test|test-vm|bench" >&2; exit 2 ;;
esac

is_there() {
  case $1 in
    # The command `busybox` may be a dynamic one; a container needs it static.
    busybox-static) [ -x /bin/busybox ] && ! ldd /bin/busybox >/dev/null 2>&1 ;;
    debian-keyring) [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] ;;
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

# tool COMMAND PACKAGE FILE...: one program of a package, into target/tools/bin, without installing the package.
tool() {
  local command=$1 package=$2; shift 2
  ! PATH=$PATH:/usr/sbin:/sbin command -v "$command" >/dev/null && [ ! -x "target/tools/bin/$command" ] || return 0
  echo "installing: $command of $package (into target/tools)"
  update
  rm -rf target/tools/deb; mkdir -p target/tools/bin target/tools/deb
  (cd target/tools/deb && apt-get download -q "$package" >/dev/null && dpkg-deb -x ./*.deb .)
  for file; do [ ! -e "target/tools/deb/$file" ] || cp "target/tools/deb/$file" "target/tools/bin/$command"; done
  [ -x "target/tools/bin/$command" ] || { echo "$package has no $command" >&2; exit 1; }
}
# Docker's own client, unmodified: the judge of our daemon. Never its daemon.
package=docker-cli
apt-cache show docker-cli >/dev/null 2>&1 || package=docker.io
tool docker "$package" usr/bin/docker
# Loads a profile in the guest whose kernel has AppArmor; installed, it would change the host.
if [ "$1" = test ] || [ "$1" = test-vm ]; then
  tool apparmor_parser apparmor sbin/apparmor_parser usr/sbin/apparmor_parser
fi

# Engines that use our runtime in the tests: unpacked, never installed, so that none of their services starts.
if [ "$1" = test ] && [ ! -e target/tools/engines/done ]; then
  echo "installing: containerd and dockerd (into target/tools/engines)"
  update
  rm -rf target/tools/engines; mkdir -p target/tools/engines
  (cd target/tools/engines && apt-get download -q containerd docker.io >/dev/null && for package in *.deb; do dpkg-deb -x "$package" .; done && rm ./*.deb)
  touch target/tools/engines/done
fi
# Podman likewise, with the libraries and helpers that are not installed.
if [ "$1" = test ] && [ ! -e target/tools/podman/done ] && ! command -v podman >/dev/null; then
  echo "installing: podman (into target/tools/podman)"
  update
  rm -rf target/tools/podman; mkdir -p target/tools/podman
  wanted=$(apt-get install -s -q --no-install-recommends podman 2>/dev/null | sed -n 's/^Inst \([^ ]*\).*/\1/p')
  # shellcheck disable=SC2086 # a list
  if [ -n "$wanted" ] && (cd target/tools/podman && apt-get download -q $wanted >/dev/null); then
    (cd target/tools/podman && for package in *.deb; do dpkg-deb -x "$package" .; done && rm ./*.deb)
  else
    echo "podman is not to be had: its test will be skipped"
  fi
  touch target/tools/podman/done
fi

if [ "$1" = test ]; then
  if ! command -v cargo-deny >/dev/null; then
    echo "installing: cargo-deny"
    cargo install --quiet --locked cargo-deny --root target/tools --target-dir target/tools/build
  fi
  # Docker's Node SDK, where there is Node: its test says when it is skipped.
  if command -v npm >/dev/null && [ ! -e target/tools/node/node_modules/dockerode ]; then
    echo "installing: dockerode, Docker's Node SDK (into target/tools/node)"
    mkdir -p target/tools/node
    npm install --silent --no-audit --no-fund --prefix target/tools/node dockerode@4
  fi
  # The Python SDK, as a second client that we did not write.
  if ! target/tools/python/bin/python -c 'import docker' 2>/dev/null; then
    echo "installing: Docker's Python SDK (into target/tools/python)"
    python3 -m venv target/tools/python
    target/tools/python/bin/pip install --quiet --disable-pip-version-check docker
  fi
  # A server for buckets, for the registry's storage.
  if [ ! -x target/tools/python/bin/moto_server ]; then
    echo "installing: moto's server (into target/tools/python)"
    target/tools/python/bin/pip install --quiet --disable-pip-version-check 'moto[server]'
  fi
fi
