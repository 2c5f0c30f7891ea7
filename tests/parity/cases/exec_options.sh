q docker rm -f xo1
q docker run -d --name xo1 -u nobody -e FOO=1 -w /tmp --cap-drop NET_RAW busybox sleep 300
t docker exec xo1 id -un
t docker exec -u root xo1 id -un
t docker exec -u 7:8 xo1 id
t docker exec -u nosuch xo1 id
t docker exec -u :mail xo1 id
t docker exec xo1 sh -c 'grep CapEff /proc/self/status'
t docker exec -u 0 xo1 sh -c 'grep CapEff /proc/self/status; grep Seccomp: /proc/self/status'
t docker exec --privileged -u 0 xo1 sh -c 'grep Seccomp: /proc/self/status; pwd'
t docker exec -w /nosuch xo1 pwd
t docker exec -w relative xo1 pwd
t docker exec -w /etc xo1 pwd
printf 'X=file\nFOO=2\n' >e
t docker exec --env-file e -e Y=z -e FOO -e X xo1 sh -c 'echo $X $Y [$FOO]'
t docker exec --env-file nosuch xo1 true
t docker exec -e xo1
t docker exec xo1
t docker exec
t docker exec nosuch true
t docker exec xo1 ''
t docker exec xo1 /tmp
t docker exec xo1 /etc/passwd
t docker exec xo1 nosuch
t docker exec -d xo1 nosuch
t docker exec -d xo1 sh -c 'echo x >/tmp/d'
sh_t 'sleep 0.3; docker exec xo1 cat /tmp/d'
t docker exec -dt xo1 sh -c 'tty >/tmp/d; stty size >>/tmp/d'
sh_t 'sleep 0.3; docker exec xo1 cat /tmp/d'
t docker exec -di xo1 cat
t docker exec -it xo1 true
t docker exec -i xo1 cat
sh_t 'seq 5 | docker exec -i xo1 wc -l'
sh_t 'head -c 3000000 /dev/zero | docker exec -i xo1 wc -c'
sh_t 'docker exec xo1 sh -c "echo out; echo err >&2" 2>/dev/null'
sh_t 'docker exec xo1 head -c 3000000 /dev/zero | wc -c'
t docker exec -t xo1 sh -c 'echo out; echo err >&2; tty; exit 5'
t docker exec --detach-keys bad xo1 true
t docker exec --detach-keys ctrl-a,b xo1 true
t docker exec xo1 sh -c 'kill -9 $$'
t docker exec xo1 sh -c 'env | sort | grep -v HOSTNAME'
t docker exec -t xo1 sh -c 'env | sort | grep -v HOSTNAME'
sh_t 'docker exec xo1 sleep 2 & sleep 0.5; docker inspect -f "{{len .ExecIDs}}" xo1; docker top xo1 -o args | sort; wait; docker inspect -f "{{json .ExecIDs}}" xo1'
q docker pause xo1
t docker exec xo1 true
q docker unpause xo1
sh_t 'docker exec xo1 sleep 100 & sleep 0.5; docker stop -t 0 xo1; wait $!; echo code $?'
t docker exec xo1 true
q docker rm -f xo1
q docker run -d --name xo1 --read-only --init busybox sleep 300
t docker exec xo1 touch /x
t docker exec xo1 sh -c 'cat /proc/1/comm; ls -l /sbin/docker-init | cut -c1-10; grep -c docker-init /proc/mounts'
q docker rm -f xo1
