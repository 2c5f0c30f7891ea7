#!/bin/bash
# Saves images on one Docker API and loads them on another, and back: ids, names and layers must stay what they were.
#
#   PEER_DOCKER_HOST=unix:///run/docker.sock DOCKER_HOST=unix:///run/wharf.sock scripts/roundtrip.sh [IMAGE...]
#
# Without images three are made on the peer: one of busybox:latest (which must be there) with a tag more, one with a
# layer more, one that was imported. All that is made is removed. Also tried: an archive through gzip, and one image by id.
set -eu
: "${PEER_DOCKER_HOST:?a Docker daemon to compare with}" "${DOCKER_HOST:?the daemon under test}"
OURS=$DOCKER_HOST
WORK=$(mktemp -d)
NAMES=()
at() { local host=$1; shift; DOCKER_HOST=$host docker "$@"; }
clean() {
  for host in "$PEER_DOCKER_HOST" "$OURS"; do
    at "$host" rm -f wharf-roundtrip >/dev/null 2>&1 || true
    [ ${#MADE[@]} = 0 ] || at "$host" rmi -f "${MADE[@]}" >/dev/null 2>&1 || true
  done
  rm -rf "$WORK"
}
MADE=()
trap clean EXIT
# What must not change: the id, all layers, and what the config says.
facts() { at "$1" image inspect -f '{{.Id}} {{json .RootFS}} {{json .Config}} {{.Os}}/{{.Architecture}} {{.Created}}' "${NAMES[@]}"; }

if [ $# -gt 0 ]; then
  NAMES=("$@")
else
  NAMES=(wharf-roundtrip/plain:1 wharf-roundtrip/plain:two wharf-roundtrip/more:1 wharf-roundtrip/imported:1)
  MADE=("${NAMES[@]}")
  at "$PEER_DOCKER_HOST" tag busybox:latest wharf-roundtrip/plain:1
  at "$PEER_DOCKER_HOST" tag busybox:latest wharf-roundtrip/plain:two
  at "$PEER_DOCKER_HOST" run --network none --name wharf-roundtrip busybox:latest sh -c 'mkdir -p /new/dir && ln -s dir /new/link && rm -r /bin/ls'
  at "$PEER_DOCKER_HOST" commit -c 'ENV A=b' -c 'LABEL x="<&>"' wharf-roundtrip wharf-roundtrip/more:1 >/dev/null
  at "$PEER_DOCKER_HOST" export wharf-roundtrip | at "$PEER_DOCKER_HOST" import - wharf-roundtrip/imported:1 >/dev/null
fi
facts "$PEER_DOCKER_HOST" >"$WORK/peer"
check() { facts "$1" >"$WORK/now"; cmp -s "$WORK/peer" "$WORK/now" || { diff "$WORK/peer" "$WORK/now" >&2; echo "differs: $2" >&2; exit 1; }; echo "same: $2"; }

at "$PEER_DOCKER_HOST" save "${NAMES[@]}" | at "$OURS" load -q
check "$OURS" "peer to ours"
at "$OURS" save -o "$WORK/ours.tar" "${NAMES[@]}"
at "$PEER_DOCKER_HOST" rmi -f "${NAMES[@]}" >/dev/null
at "$PEER_DOCKER_HOST" load -q -i "$WORK/ours.tar"
check "$PEER_DOCKER_HOST" "ours to peer"
at "$OURS" rmi -f "${NAMES[@]}" >/dev/null
gzip -c "$WORK/ours.tar" | at "$OURS" load -q
check "$OURS" "ours to ours, compressed"
at "$OURS" save -o "$WORK/again.tar" "${NAMES[@]}"
cmp "$WORK/ours.tar" "$WORK/again.tar" && echo "same: the archive, byte by byte"
id=$(at "$OURS" image inspect -f '{{.Id}}' "${NAMES[0]}")
at "$OURS" save "$id" | at "$PEER_DOCKER_HOST" load | grep -q "Loaded image ID: $id" && echo "same: an image by its id"
