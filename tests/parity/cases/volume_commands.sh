q docker volume rm -f vc1 vc2 vc3
t docker volume create vc1
t docker volume create vc1
t docker volume create --name vc2 --label a=b -d local
t docker volume create --name vc3 vc3
t docker volume create vc3 extra
t docker volume create -d nosuch vc3
t docker volume create 'bad name'
t docker volume create a
t docker volume create -o nosuch=1 vc3
t docker volume create -o type=tmpfs vc3
t docker volume create -o type=tmpfs -o device=tmpfs -o o=size=1m vc3
t docker volume inspect vc3 --format '{{json .Options}} {{.Scope}} {{.Driver}} {{json .Labels}}'
t docker run --rm -v vc3:/x busybox sh -c 'grep " /x " /proc/mounts | cut -d" " -f2,3'
t docker volume inspect vc2 --format '{{json .Options}} {{.Scope}} {{.Driver}} {{json .Labels}}'
t docker volume inspect nosuch
t docker volume inspect vc1 nosuch -f '{{.Name}}'
t docker volume inspect
t docker volume ls --filter name=vc
t docker volume ls -q --filter label=a=b
t docker volume ls -q --filter label=a --filter driver=local
t docker volume ls -q --filter driver=nosuch
t docker volume ls --filter nosuch=1
t docker volume ls --filter dangling=maybe
t docker volume ls --filter name=vc --format '{{.Name}} {{.Driver}} {{.Scope}} {{.Labels}} {{.Links}} {{.Size}} {{.Availability}}'
t docker volume ls --filter name=vc --format 'table {{.Name}}\t{{.Labels}}'
t docker volume ls extra
t docker run -d --name vcc -v vc1:/x busybox sleep 100
t docker volume rm vc1
t docker volume rm -f vc1
t docker volume ls -q --filter name=vc --filter dangling=true
t docker volume ls -q --filter name=vc --filter dangling=false
t docker ps --filter volume=vc1 --format '{{.Names}} {{.Mounts}} {{.LocalVolumes}}'
t docker ps --filter volume=/x --format '{{.Names}}'
t docker stop -t 0 vcc
t docker volume rm vc1
t docker rm vcc
t docker volume rm vc1 vc2 vc3
t docker volume rm vc1
t docker volume rm -f vc1
t docker volume prune -f --filter nosuch=1
t docker volume prune -f --filter label=nosuchlabel
t docker volume nosuch
t docker volume update x
