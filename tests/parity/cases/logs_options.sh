q docker rm -f lo1 lo2
q docker run --name lo1 busybox sh -c 'echo one; sleep 0.2; echo two >&2; sleep 0.2; printf "no newline"; echo; echo; echo "  spaces  "; printf "last without end"'
t docker logs lo1
t docker logs -n 1 lo1
t docker logs -n 100 lo1
t docker logs --tail all lo1
t docker logs --tail -1 lo1
t docker logs --tail '' lo1
t docker logs -f lo1
t docker logs -f --tail 1 lo1
t docker logs -t --tail 2 lo1
t docker logs --details lo1
sh_t 'docker logs lo1 2>&1 >/dev/null'
t docker logs --since 2999-01-01 lo1
t docker logs --since 2001-01-01T00:00:00 --until 2001-01-02 lo1
t docker logs --since 0 --tail 1 lo1
t docker logs --since nonsense lo1
t docker logs --until nonsense lo1
t docker logs --since -1h --tail 1 lo1
t docker logs lo1 lo2
t docker logs
q docker rm -f lo1
q docker run -d -t --name lo1 busybox sh -c 'echo one; echo two >&2; stty size; sleep 100'
sh_t 'sleep 0.3; docker logs lo1 | od -c'
q docker rm -f lo1
q docker create --name lo1 busybox echo started
t docker logs lo1
t docker logs -f lo1
q docker start lo1
sh_t 'sleep 0.3; docker start -a lo1; docker logs lo1'
q docker rm -f lo1
for driver in json-file local; do
  q docker run --name lo1 --log-driver $driver --log-opt max-size=20k --log-opt max-file=3 busybox sh -c 'i=0; while [ $i -lt 2000 ]; do echo "line number $i"; i=$((i+1)); done'
  sh_t 'docker logs lo1 | tail -1; docker logs --tail 3 lo1; test $(docker logs lo1 | wc -l) -lt 2000 && echo rotated'
  sh_t "docker inspect -f '{{json .HostConfig.LogConfig}} {{if .LogPath}}has a path{{end}}' lo1"
  q docker rm -f lo1
done
q docker run --name lo1 --log-driver local busybox sh -c 'echo a; sleep 0.2; echo b >&2; sleep 0.2; printf c'
t docker logs lo1
t docker logs --tail 1 lo1
t docker logs -t lo1
q docker rm -f lo1
q docker run --name lo1 --log-opt labels=a,b --log-opt env=E --log-opt tag='{{.Name}}' -l a=1 -l z=2 -e E=3 busybox echo x
t docker logs --details lo1
q docker rm -f lo1
t docker run --rm --log-opt max-size=x busybox true
t docker run --rm --log-opt max-file=x busybox true
t docker run --rm --log-opt max-file=0 busybox true
t docker run --rm --log-opt max-file=3 busybox true
t docker run --rm --log-opt compress=true busybox true
t docker run --rm --log-opt compress=maybe --log-opt max-size=1m --log-opt max-file=2 busybox true
t docker run --rm --log-opt mode=nosuch busybox true
t docker run --rm --log-opt max-buffer-size=1m busybox true
t docker run --rm --log-opt mode=non-blocking --log-opt max-buffer-size=x busybox true
t docker run --rm --log-opt mode=non-blocking --log-opt max-buffer-size=1m busybox echo fine
t docker run --rm --log-driver none --log-opt max-size=1m busybox true
t docker run --rm --log-driver none busybox echo seen
q docker rm -f lo1
q docker run -d --name lo1 busybox sh -c 'for i in 1 2 3; do echo $i; sleep 0.3; done; exit 1'
t docker logs -f lo1
q docker rm -f lo1
sh_t 'docker run -d --name lo1 --rm busybox sh -c "echo a; sleep 1; echo b" >/dev/null; docker logs -f lo1'
sh_t 'docker run --name lo2 busybox sh -c "head -c 40000 /dev/zero | tr \"\\0\" x; echo; echo end" | md5sum; docker logs lo2 | md5sum; docker logs --tail 1 lo2; docker logs --tail 2 lo2 | wc -c; docker logs -t lo2 | wc -l'
q docker rm -f lo1 lo2
