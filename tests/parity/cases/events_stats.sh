q docker rm -f es1 es2 es3; q docker volume rm esv; q docker rmi es:1
since=$(date +%s.%N)
q docker create --name es1 -l k=v -v esv:/x busybox sh -c 'trap "exit 3" TERM; sleep 300 & wait'
q docker start es1
q docker exec es1 true
q docker pause es1
q docker unpause es1
q docker kill -s HUP es1
q docker rename es1 es2
q docker update --memory 100m --memory-swap 200m es2
q docker top es2
q docker restart -t 3 es2
q docker stop -t 3 es2
q docker start es2
q docker kill es2
sleep 0.5
q docker rm es2
q docker volume rm esv
q docker tag busybox es:1
q docker rmi es:1
q docker run --rm --name es1 busybox true
q docker create --name es3 -l es=prune busybox true
q docker container prune -f --filter label=es=prune
sleep 0.3
until=$(date +%s.%N)
# only what happened to ours: others may use the daemon at the same time
ev() { docker events --since $since --until $until "$@" 2>&1 | sed 's/exec_create: .*/exec/; s/[0-9]*\.[0-9]*s//; s/"execDuration":"[0-9]*"/"execDuration":"N"/'; }
own="--filter container=es1 --filter container=es2"
fmt='{{.Type}} {{.Action}} {{.Actor.Attributes.name}} {{.Actor.Attributes.exitCode}} {{.Actor.Attributes.signal}} {{.Scope}}'
evs() { ev "$@" | sort; }
t evs $own --format "$fmt"
t ev $own --filter type=container --filter event=start --format '{{.Status}} {{.From}} {{.Type}}'
t evs $own --filter event=kill --filter event=die --format '{{.Action}} {{json .Actor.Attributes}}'
t ev --filter container=es2 --filter event=rename --format '{{json .Actor.Attributes}}'
t ev --filter label=k=v --filter event=create --format '{{json .Actor.Attributes}}'
t ev $own --filter image=busybox --filter event=start --format '{{.Action}}'
t ev --filter image=es:1
t ev --filter type=volume --format '{{json .Actor}}'
sh_t 'docker events --since '$since' --until '$until' --filter type=network --format "{{.Action}} {{.Actor.Attributes.type}}" | sort -u' | sed 's/[0-9]*[.][0-9]* / /g'
t ev $own --filter event=exec_create --format '{{.Action}}'
t ev $own --filter event=exec_start --filter event=exec_die --format '{{.Action}} {{.Actor.Attributes.exitCode}}'
t ev --filter event=nosuch
t ev --filter type=nosuch
t ev $own --filter nosuch=x --filter event=pause
t ev --filter scope=local --filter event=prune --filter type=container --format '{{json .Actor.Attributes}} {{.Type}}'
t ev --filter scope=swarm
t ev --filter daemon=x
t docker events --since nonsense --until 1
t docker events --since 10 --until 5
t ev $own --filter event=pause --format '{{json .}}' | sed 's/"time.*//'
t ev $own --filter event=pause --filter event=unpause
t docker events --format '{{.Nosuch' --until 1
t docker events extra
# stats
q docker run -d --name es1 --memory 64m --network none busybox sleep 300
t docker stats --no-stream --format '{{.Name}} {{.NetIO}} {{.PIDs}} {{.Container}}' es1
sh_t 'docker stats --no-stream es1 | head -1'
sh_t 'docker stats --no-stream --no-trunc --format "{{.ID}} {{.MemUsage}}" es1 | sed "s/[0-9.]*[KM]iB /X /"'
t docker stats --no-stream --format '{{.Nosuch}}' es1
t docker stats --no-stream --format 'table {{.Name}}\t{{.PIDs}}' es1
sh_t 'docker stats --no-stream --format json es1 | sed "s/\"\(CPUPerc\|MemPerc\|MemUsage\|BlockIO\)\":\"[^\"]*\"/\1/g"'
q docker stop -t 0 es1
t docker stats --no-stream --format '{{.Name}} {{.PIDs}} {{.MemUsage}} {{.CPUPerc}} {{.NetIO}} {{.BlockIO}}' es1
sh_t 'docker stats --no-stream -a --format "{{.Name}}" | grep es1'
q docker rm -f es1
# system
t docker system nosuch
sh_t 'docker system df --format "{{.Type}} {{.Active}}" | cut -d" " -f1'
sh_t 'docker system df | head -1'
sh_t 'docker system df -v | grep -E "^[A-Z]"'
t docker system df --format '{{.Nosuch}}'
t docker system prune --volumes --filter until=1h -f
t docker system prune -f --filter nosuch=1
t docker system info -f '{{.Driver}} {{.LoggingDriver}} {{.CgroupVersion}} {{.OSType}} {{.Architecture}} {{.DefaultRuntime}} {{.Swarm.LocalNodeState}} {{.InitBinary}} {{json .SecurityOptions}} {{json .Warnings}} {{.IndexServerAddress}}'
t docker info -f '{{.Nosuch}}'
t docker info extra
t docker version -f '{{.Server.Os}} {{.Server.Arch}} {{.Server.APIVersion}} {{.Server.MinAPIVersion}} {{.Server.Experimental}} {{.Client.Os}}'
t docker version -f '{{.Nosuch}}'
t docker version extra
t docker version -f '{{.Server'
t docker port nosuch
