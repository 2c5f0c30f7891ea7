for i in im:1 im:2 other/im:x reg.example:5000/im/im:y; do q docker rmi -f $i; done
t docker tag busybox im:1
t docker tag busybox im:2
t docker tag im:1 other/im:x
t docker tag im:1 reg.example:5000/im/im:y
t docker tag im:1 UPPER:x
t docker tag im:1 'im:bad tag'
t docker tag im:1 im@sha256:0000000000000000000000000000000000000000000000000000000000000000
t docker tag im:1
t docker tag im:1 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
t docker images im
t docker images 'im:*' --format '{{.Repository}} {{.Tag}}'
t docker images im:1 --format '{{.Repository}}:{{.Tag}} {{.Digest}} {{.CreatedSince}} {{.CreatedAt}} {{.Containers}} {{.SharedSize}} {{.UniqueSize}} {{.VirtualSize}}'
t docker images --format '{{.Repository}}' reg.example:5000/im/im
t docker images --filter reference='*im' --format '{{.Repository}}:{{.Tag}}'
t docker images --filter reference='*/im' --format '{{.Repository}}:{{.Tag}}'
t docker images --filter reference='im:[12]' --format '{{.Repository}}:{{.Tag}}'
t docker images --filter reference='[' --format '{{.Repository}}:{{.Tag}}'
t docker images --filter dangling=maybe
t docker images --filter nosuch=1
t docker images --filter before=nosuch
t docker images --filter since=nosuch
t docker images --filter label=nosuch -q
t docker images --filter until=x
t docker images im nosuch
t docker images nosuch
t docker images im --digests
t docker images im --no-trunc
t docker images im -q
t docker images im --format json
t docker images im --format 'table {{.Repository}}\t{{.ID}}'
t docker images im --format '{{.Nosuch}}'
t docker images im --tree
t docker image ls --filter reference=im -q --no-trunc
sh_t 'id=$(docker images -q --no-trunc im:1); s=${id#sha256:}; docker rmi ${s:0:6}; docker rmi ${s:0:3}zz; docker image inspect -f "{{json .RepoTags}}" ${s:0:12} sha256:${s:0:8}; docker tag ${s:0:5} im:3; docker run --rm ${s:0:4} echo by id; docker create --name imc $id true >/dev/null; docker inspect -f "{{.Config.Image}}" imc; docker ps -a -f name=imc --format "{{.Image}}" | cut -c1-7; docker rm imc'
t docker rmi im:1 im:3 nosuch
t docker rmi -f nosuch
t docker rmi ''
t docker rmi 'BAD'
t docker rmi
t docker rmi --nosuch
q docker create --name imc im:2 true
t docker rmi im:2
t docker ps -a --filter name=imc --format '{{.Image}}'
t docker inspect -f '{{.Config.Image}} {{.Image}}' imc
t docker rm imc
t docker rmi other/im:x reg.example:5000/im/im:y
t docker image inspect busybox -f '{{json .Config}} {{.Architecture}} {{.Os}} {{.Variant}} {{.Created}} {{json .GraphDriver.Name}} {{json .RepoTags}} {{json .RepoDigests}} {{.Parent}} {{.Comment}} {{.Author}} {{.DockerVersion}} {{json .RootFS.Type}}'
t docker image inspect busybox nosuch -f '{{.Id}}'
t docker image inspect -f '{{.Nosuch}}' busybox
t docker image inspect --platform linux/amd64 -f '{{.Os}}' busybox
t docker image inspect --platform bad/x/y/z busybox
t docker history busybox
t docker history -q busybox
t docker history --no-trunc --human=false busybox
t docker history --format '{{.ID}}|{{.CreatedBy}}|{{.CreatedAt}}|{{.CreatedSince}}|{{.Comment}}' busybox
t docker history --format json busybox
t docker history nosuch
t docker history
t docker image prune -f --filter nosuch=1
t docker image prune -f --filter until=x
t docker image prune -af --filter label=nosuch
t docker image nosuch
t docker pull
t docker pull BAD
t docker pull -a busybox:latest
t docker pull nosuch.invalid/a/b
t docker pull -q nosuch.invalid/a/b@sha256:bad
t docker run --pull always nosuch.invalid/a/b
t docker run --pull never nosuch.invalid/a/b
t docker run --rm --pull never busybox echo here
t docker save
t docker save nosuch
t docker save busybox nosuch -o x.tar
t docker save -o /nosuch/dir/x.tar busybox
sh_t 'docker save busybox | wc -c | grep -q "......" && echo big'
