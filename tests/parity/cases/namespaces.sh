q docker rm -f ns1 ns2
q docker run -d --name ns1 --ipc shareable --hostname nsbox busybox sleep 300
ns() { docker exec ns1 readlink /proc/self/ns/$1; }
sh_t 'test "$(docker exec ns1 readlink /proc/self/ns/pid)" = "$(docker run --rm --pid container:ns1 busybox readlink /proc/self/ns/pid)" && echo same pid'
sh_t 'test "$(docker exec ns1 readlink /proc/self/ns/ipc)" = "$(docker run --rm --ipc container:ns1 busybox readlink /proc/self/ns/ipc)" && echo same ipc'
sh_t 'test "$(docker exec ns1 readlink /proc/self/ns/net)" = "$(docker run --rm --network container:ns1 busybox readlink /proc/self/ns/net)" && echo same net'
t docker run --rm --network container:ns1 busybox hostname
t docker run --rm --network container:ns1 --hostname x busybox hostname
t docker run --rm --network container:ns1 -p 80:80 busybox true
t docker run --rm --network container:ns1 --expose 80 busybox true
t docker run --rm --network container:ns1 --dns 1.1.1.1 busybox true
t docker run --rm --network container:ns1 --add-host a:1.1.1.1 busybox true
t docker run --rm --network container:ns1 --mac-address 02:42:ac:11:00:09 busybox true
t docker run --rm --network container:ns1 --link ns1 busybox true
t docker run --rm --pid container:nosuch busybox true
t docker run --rm --ipc container:nosuch busybox true
t docker run --rm --pid container: busybox true
t docker run --rm --ipc container: busybox true
q docker run -d --name ns2 busybox sleep 300
t docker run --rm --ipc container:ns2 busybox true
q docker stop -t 0 ns2
t docker run --rm --pid container:ns2 busybox true
t docker run --rm --network container:ns2 busybox true
t docker run --rm --ipc container:ns2 busybox true
t docker run --rm --pid host --ipc host --uts host --network host busybox true
t docker run --rm --network host busybox sh -c 'test -d /sys/class/net/lo && echo lo'
t docker run --rm --network host --hostname x busybox hostname
t docker run --rm --network none busybox sh -c 'ls /sys/class/net; cat /etc/hosts | wc -l; cat /etc/resolv.conf | grep -c nameserver'
t docker run --rm --network none --dns 8.8.8.8 --dns-search a.b --dns-option ndots:2 busybox sh -c 'grep -v "^#" /etc/resolv.conf'
t docker run --rm --dns 8.8.8.8 --dns-search . busybox sh -c 'grep -v "^#" /etc/resolv.conf'
t docker run --rm --network host --dns 8.8.8.8 busybox sh -c 'grep -v "^#" /etc/resolv.conf'
t docker run --rm --add-host 'g:host-gateway' --add-host 'six:[::1]' --add-host eq=1.2.3.4 busybox sh -c 'grep -E "six|eq" /etc/hosts; grep -c "g$" /etc/hosts'
t docker run --rm --hostname full.example.com busybox sh -c 'hostname; tail -1 /etc/hosts | sed "s/^[^\t]*//"'
t docker run --rm --userns host busybox true
t docker run --rm --privileged --userns host busybox true
t docker run --rm busybox sh -c 'cat /etc/hosts | sed "s/.*\t\(............\)$/IP \1/"; cat /etc/hostname | wc -c'
t docker run --rm busybox sh -c 'ls /dev | sort | tr "\n" " "; ls -l /dev/fd /dev/stdin | sed "s/.* \(\/dev\)/\1/"'
t docker run --rm busybox env -i sh -c 'set | cut -d= -f1 | sort | head -3; umask; ulimit -c; cat /proc/self/limits | grep -E "open files|processes" | cut -c1-50'
t docker run --rm --entrypoint env busybox
t docker run --rm -t --entrypoint env -e TERM=x -h hh busybox
t docker run --rm -u nobody --entrypoint env -h hh busybox
t docker run --rm -u 12345 --entrypoint env -h hh -e PATH=/bin busybox
q docker rm -f ns1 ns2
