# what a failed start leaves
q docker rm -f fa1
show() { docker inspect -f '{{.State.Status}} {{.State.ExitCode}} [{{.State.Error}}] {{.State.StartedAt}}' fa1 2>&1; }
for args in "busybox nosuch" "busybox /etc" "busybox /etc/passwd" "busybox ''" "-u nosuch busybox true" "--entrypoint /nosuch busybox" "-m 1 busybox true" "--cpuset-cpus 77 busybox true" "--device /dev/nosuch busybox true" "--mount type=bind,src=/nosuch,dst=/x busybox true" "--volumes-from nosuch busybox true" "--group-add nosuch busybox true" "--network nosuch busybox true" "--pid container:nosuch busybox true" "--runtime nosuch busybox true" "--log-driver nosuch busybox true" "--ip6 x busybox true"; do
  printf '$ docker run --name fa1 %s\n' "$args"; eval "docker run --name fa1 $args" 2>&1 </dev/null; echo "[exit $?]"
  t show
  q docker rm -f fa1
done
sh_t 'docker create --name fa1 busybox nosuch >/dev/null; docker start fa1; docker start -a fa1; docker start fa1 nosuch; docker ps -a -f name=fa1 --format "{{.Status}}"'
q docker rm -f fa1
t docker run --rm --name fa1 busybox nosuch
t docker run -d --name fa1 busybox nosuch
t docker restart fa1
t docker rm fa1
t docker run --rm --name fa1 -d busybox nosuch
t docker inspect fa1
t docker run -d --rm --name fa1 --restart on-failure busybox true
t docker create --name fa1 ''
t docker create --name fa1 BAD
t docker create --name fa1 busybox:nosuchtag --pull never
t docker run -i --rm busybox nosuch
t docker run -t --rm busybox nosuch
t docker -H unix:///nosuch.sock ps
t docker -H nosuch://x ps
t docker -H unix:///nosuch.sock version -f '{{.Client.Os}}'
t docker nosuch
t docker --nosuch
t docker ps --nosuch
t docker -l nosuch ps -q -f name=nosuch
t docker run --help=maybe
sh_t 'docker run --help | head -12'
sh_t 'docker --help | head -12'
sh_t 'docker exec --help'
sh_t 'docker logs --help'
sh_t 'docker stop --help'
sh_t 'docker volume --help'
sh_t 'docker help inspect'
t docker help nosuch
sh_t 'docker --context nosuch ps 2>&1 | sed "s/open .*config/open CONFIG/"'
sh_t 'DOCKER_API_VERSION=1.20 docker ps'
sh_t 'DOCKER_API_VERSION=1.99 docker ps'
sh_t 'DOCKER_API_VERSION=1.24 docker ps -q -f name=nosuch'
sh_t 'DOCKER_API_VERSION=bad docker ps'
