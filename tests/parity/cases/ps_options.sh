q docker rm -f po1 po2 po3 po4
q docker create --name po1 -l a=b -l c=d busybox true
q docker run -d --name po2 -l a=c busybox sleep 300
q docker run --name po3 busybox sh -c 'exit 3'
q docker run -d --name po4 --network none --health-cmd true --health-interval 1h busybox sh -c 'sleep 300; echo "a very long command line that is cut"'
q docker pause po2
t docker ps -a --filter name=po
t docker ps --filter name=po
t docker ps -a --filter name=po --no-trunc
t docker ps -aq --filter name=^po1$ --no-trunc
sh_t 'docker ps -qa --filter name=po | wc -l'
t docker ps -l --format '{{.Names}}'
t docker ps -n 2 --format '{{.Names}}'
t docker ps -n -1 --filter name=po --format '{{.Names}}'
t docker ps -n x
t docker ps --filter status=paused --filter name=po --format '{{.Names}} {{.State}}'
t docker ps --filter status=exited --filter status=created --filter name=po --format '{{.Names}} {{.State}}'
t docker ps -a --filter status=nosuch
t docker ps -a --filter exited=3 --filter name=po --format '{{.Names}}'
t docker ps -a --filter exited=x
t docker ps -a --filter label=a --format '{{.Names}} {{.Labels}} {{.Label "a"}}'
t docker ps -a --filter label=a=b --format '{{.Names}}'
t docker ps -a --filter label=a --filter label=c --format '{{.Names}}'
t docker ps -a --filter label=a=nosuch --format '{{.Names}}'
t docker ps -a --filter before=po3 --filter name=po --format '{{.Names}}'
t docker ps -a --filter since=po2 --filter name=po --format '{{.Names}}'
t docker ps -a --filter since=nosuch
t docker ps -a --filter ancestor=busybox --filter name=po --format '{{.Names}}'
t docker ps -a --filter ancestor=nosuch --format '{{.Names}}'
t docker ps -a --filter network=none --filter name=po --format '{{.Names}} {{.Networks}}'
t docker ps -a --filter network=nosuch --format '{{.Names}}'
t docker ps -a --filter health=none --filter name=po --format '{{.Names}}'
t docker ps -a --filter health=nosuch
t docker ps -a --filter publish=80 --format '{{.Names}}'
t docker ps -a --filter publish=x
t docker ps -a --filter is-task=true --format '{{.Names}}'
t docker ps -a --filter is-task=x
t docker ps -a --filter nosuch=x
t docker ps -a --filter nosuch
t docker ps -a --filter name='(' --format '{{.Names}}'
t docker ps -a --filter name=/po1 --format '{{.Names}}'
t docker ps -a --filter id=nosuch --format '{{.Names}}'
t docker ps -a --filter name=po1 --format '{{.Command}}|{{.Image}}|{{.Ports}}|{{.Status}}|{{.Size}}|{{.LocalVolumes}}|{{.RunningFor}}|{{.Mounts}}|{{.Networks}}|{{.Platform}}'
t docker ps -a --filter name=po1 --format 'table {{.Names}}\t{{.Status}}\t{{.Ports}}\t{{.Labels}}\t{{.Label "a"}}'
t docker ps -a --filter name=po1 --format json
t docker ps -a --filter name=po --format '{{json .Names}}'
t docker ps -a --filter name=po1 --format '{{upper .Names}} {{.Nosuch}}'
t docker ps -a --filter name=po1 --format '{{.Names'
t docker ps -a --filter name=po1 --format '{{nosuch .Names}}'
t docker ps -a --filter name=po1 --format 'table'
t docker ps -a --filter name=po1 --format 'raw'
t docker ps -a --filter name=po1 --format ''
t docker ps -a --filter name=nosuchname --format 'table {{.Names}} {{.State}}'
sh_t 'docker ps -as --filter name=po1 --format "{{.Size}}"'
t docker ps extra
t docker container ls -a --filter name=po3 --format '{{.Names}}'
t docker container list --filter name=po4 --format '{{.Names}}'
t docker container nosuch
t docker container
q docker rm -f po1 po2 po3 po4
