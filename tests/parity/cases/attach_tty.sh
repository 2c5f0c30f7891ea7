# a pseudo terminal on the client's side, by script(1)
q docker rm -f at1
keys() { input=$1; shift; printf '$ (keys) %s\n' "$*"; { sleep 1; printf "$input"; sleep 1; } | script -qec "$*" /dev/null 2>&1 | tr -d '\r' ; printf '[exit %s]\n' "${PIPESTATUS[1]}"; }
keys '' docker run --rm -it busybox sh -c '"tty; echo \$TERM; exit 3"'
keys 'echo $((20+3))\nexit 4\n' docker run --rm -it --name at1 -e PS1=P busybox sh
keys '\020\021' docker run -it --name at1 -e PS1=P busybox sh
t docker inspect -f '{{.State.Running}}' at1
keys 'echo $((20+4))\n\020\021' docker attach at1
t docker inspect -f '{{.State.Running}}' at1
keys 'ab' docker attach --detach-keys a,b at1
keys 'exit 9\n' docker attach at1
t docker inspect -f '{{.State.Running}} {{.State.ExitCode}}' at1
keys 'echo again; exit 2\n' docker start -ai at1
t docker start -a --detach-keys nosuch at1
t docker attach --detach-keys nosuch at1
t docker attach at1
q docker rm -f at1
q docker run -dit --name at1 busybox cat
t docker attach at1
t docker attach --no-stdin=maybe at1
keys 'typed\n\020\021' docker attach at1
keys '\020\021' docker exec -it at1 sh -c 'cat'
q docker rm -f at1
t docker run -it --rm busybox true
t docker run -t --rm busybox tty
sh_t 'echo in | docker run --rm -i busybox cat -'
sh_t 'echo in | docker run --rm -it busybox cat -'
sh_t 'echo in | docker run --rm -i -a stdin -a stdout busybox sh -c "cat; echo err >&2"'
sh_t 'echo in | docker run --name at1 -i -a stdin busybox cat; sleep 0.3; docker logs at1'
q docker rm -f at1
sh_t 'docker run --rm -a stderr busybox sh -c "echo out; echo err >&2"'
q docker rm -f at1
sh_t 'docker create -i --name at1 busybox sh -c "cat; exit 5" >/dev/null; echo to start | docker start -i at1; echo $?'
sh_t 'docker start -ai at1 </dev/null; echo $?'
q docker rm -f at1
sh_t 'docker run -d --name at1 busybox sh -c "sleep 1; echo late; sleep 1; exit 8" >/dev/null; docker attach at1 & docker attach at1; echo $?; wait'
q docker rm -f at1
sh_t 'docker run -i --rm busybox head -c 5 </dev/zero | wc -c'
sh_t 'docker run --rm busybox sh -c "head -c 5000000 /dev/zero; echo err >&2" | wc -c'
sh_t 'yes | head -c 5000000 | docker run --rm -i busybox wc -c'
