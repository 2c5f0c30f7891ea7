#!/bin/bash
# kernel.sh WHICH - finds a Debian cloud kernel, unpacks it below target/vm and prints its folder: boot/vmlinuz-*, lib/modules.
#
#   stable   Linux 6.1 of Debian 12
#   recent   the newest that Debian 13 has as a backport
#   NAME     a package of this machine's own sources
#
# The first two come from lists of their own, whatever Debian or Ubuntu this is; what is there already is used as it is.
set -euo pipefail
work=$PWD/target/vm; mkdir -p "$work"
export PATH=$PATH:/usr/sbin:/sbin
which=${1:-stable}
[ ! -d "$work/kernel-$which" ] || { echo "$work/kernel-$which"; exit; }

options=(-q)
case $which in
  stable) suite=bookworm ;;
  recent) suite=trixie-backports ;;
  *) suite= ;;
esac
if [ -n "$suite" ]; then
  lists=$work/apt-$suite keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  [ -e "$keyring" ] || { echo "no $keyring: install debian-archive-keyring" >&2; exit 1; }
  mkdir -p "$lists"/{state/partial,cache/archives/partial}
  echo "deb [signed-by=$keyring] http://deb.debian.org/debian $suite main" >"$lists/sources.list"
  options+=(-o "Dir::Etc::SourceList=$lists/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$lists/state"
    -o Dir::State::status=/dev/null -o "Dir::Cache=$lists/cache" -o APT::Architecture=amd64 -o APT::Architectures::=amd64
    -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false)
  apt-get "${options[@]}" update >/dev/null
  # The meta package names the image; newer ones have the modules and the kernel itself in packages beside it.
  names() { apt-cache "${options[@]}" depends "$1" | sed -n 's/^ *Depends: \(linux-\(image\|modules\|binary\|base\)-[0-9].*\)/\1/p'; }
  images=$(names linux-image-cloud-amd64)
  packages=$(for image in $images; do echo "$image"; names "$image"; done | sort -u)
else
  packages=$which
fi
[ -n "$packages" ] || { echo "no kernel package is known for $which" >&2; exit 1; }

download=$(mktemp -d "$work/download.XXXXXX"); trap 'rm -rf "$download"' EXIT
# shellcheck disable=SC2086 # a list
(cd "$download" && apt-get "${options[@]}" download $packages >/dev/null && for package in *.deb; do dpkg-deb -x "$package" root; done)
[ ! -d "$download/root/usr/lib/modules" ] || { mkdir -p "$download/root/lib"; mv "$download/root/usr/lib/modules" "$download/root/lib/"; }
version=$(ls "$download/root/lib/modules")
[ -d "$download/root/boot" ] || { mkdir "$download/root/boot"; mv "$download/root/lib/modules/$version/vmlinuz" "$download/root/boot/vmlinuz-$version"; }
depmod -b "$download/root" "$version"
mv "$download/root" "$work/kernel-$which"
echo "$work/kernel-$which"
