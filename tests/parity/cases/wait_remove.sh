q docker rm -f wr1 wr2
q docker run -d --name wr1 busybox sh -c 'sleep 1; exit 3'
q docker run -d --name wr2 busybox sh -c 'sleep 1; exit 4'
t docker wait wr1 wr2
t docker wait wr1 nosuch wr2
t docker wait
t docker rm wr1 wr2
sh_t 'docker run -d --rm --name wr1 busybox sh -c "sleep 1; exit 6" >/dev/null; docker wait wr1; sleep 0.3; docker inspect wr1 2>&1'
sh_t 'docker create --name wr1 busybox true >/dev/null; docker wait wr1 & sleep 0.5; docker start wr1; wait $!; echo code $?'
sh_t 'docker rm -f wr1; docker run -d --name wr1 busybox sleep 100 >/dev/null; docker wait wr1 & sleep 0.3; docker rm -f wr1; wait $!; echo code $?'
t docker run --rm --name wr1 busybox sh -c 'exit 42'
t docker ps -a --filter name=wr --format '{{.Names}}'
t docker run -d --name wr1 -v /data busybox sleep 100
sh_t 'v=$(docker inspect -f "{{(index .Mounts 0).Name}}" wr1); docker rm -f wr1; docker volume inspect -f kept $v; docker volume rm $v | wc -l'
sh_t 'docker create --name wr1 -v /data busybox true >/dev/null; v=$(docker inspect -f "{{(index .Mounts 0).Name}}" wr1); docker rm -v wr1; docker volume inspect -f kept $v 2>&1 | sed "s/$v/V/"'
sh_t 'docker run --name wr1 --rm -v /data -v wrnamed:/named busybox true; docker volume ls -q | grep wrnamed; docker volume rm wrnamed'
t docker create --name wr1 busybox true
t docker container prune -f --filter label=nosuchlabel
t docker container prune -f --filter nosuch=1
t docker container prune -f --filter until=x
sh_t 'docker container prune -f --filter until=1h | tail -1'
sh_t 'docker container prune -f | tail -1'
sh_t 'echo n | docker container prune'
t docker ps -a --filter name=wr --format '{{.Names}}'
q docker rm -f wr1 wr2
t docker run --rm -d --restart no --name wr1 busybox sleep 100
t docker stop -t 0 wr1
sh_t 'sleep 0.3; docker ps -aq --filter name=wr1'
q docker create --name wr1 --rm busybox true
t docker update --restart always wr1
t docker inspect -f '{{.HostConfig.AutoRemove}}' wr1
t docker start -a wr1
sh_t 'sleep 0.3; docker ps -aq --filter name=wr1'
