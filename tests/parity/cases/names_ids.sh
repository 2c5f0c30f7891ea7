q docker rm -f nm1 nm2 abc
t docker create --name nm1 busybox true
t docker create --name /nm2 busybox true
t docker inspect -f '{{.Name}}' nm2 /nm1
t docker create --name '' busybox true
t docker create --name a busybox true
t docker create --name -x busybox true
t docker create --name 'a b' busybox true
t docker create --name .x busybox true
t docker create --name "$(printf 'a%.0s' $(seq 300))" busybox true
q docker rm "$(printf 'a%.0s' $(seq 300))"
sh_t 'for i in $(seq 20); do docker create --label many=1 busybox true; done >ids; for p in 0 1 2 3 4 5 6 7 8 9 a b c d e f; do test $(docker ps -aq --no-trunc | grep -c "^$p") -gt 1 && break; done; docker inspect $p 2>&1 | sed "s/container $p/container P/; s/: $p/: P/; s/prefix .*/prefix P/"; docker rm $p 2>&1 | sed "s/: $p/: P/; s/prefix .*/prefix P/" ; docker rm $(docker ps -aq -f label=many) | wc -l'
sh_t 'id=$(docker inspect -f "{{.Id}}" nm1); docker inspect -f "{{.Name}}" ${id:0:5}; docker rename $id nm3; docker rm ${id:0:12}; docker inspect -f "{{.Name}}" $id'
t docker rename nm2 nm2
t docker rename nm2 'bad name'
t docker rename nm2 ''
t docker rename nosuch x
t docker rename nm2
q docker create --name nm4 busybox true
t docker rename nm2 nm4
t docker rename nm2 /nm5
t docker rm nm5 nosuch nm4
t docker rm
t docker rm nm5/x
t docker rm ''
t docker inspect ''
t docker start ''
t docker create --name abc busybox true
t docker create --name abc busybox true
t docker run --name abc busybox true
t docker run -d --name abc busybox true
t docker container rm abc
