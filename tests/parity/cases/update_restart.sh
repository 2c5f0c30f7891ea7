q docker rm -f ur1
q docker run -d --name ur1 -m 64m --memory-swap 128m busybox sleep 300
t docker update ur1
t docker update --memory 80m ur1
t docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}' ur1
t docker update --memory 200m ur1
t docker update --memory 1m ur1
t docker update --memory 256m --memory-swap 512m ur1
t docker exec ur1 sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/memory.max'
t docker update --cpus 0.7 --cpu-shares 200 --pids-limit 50 --memory-reservation 32m ur1
t docker exec ur1 sh -c 'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/pids/pids.max 2>/dev/null'
t docker update --cpu-quota 5000 ur1
t docker update --cpuset-cpus 99 ur1
t docker update --cpuset-cpus 0 ur1
t docker update --blkio-weight 5 ur1
t docker update --restart nosuch ur1
t docker update --restart on-failure:3 ur1
t docker inspect -f '{{json .HostConfig.RestartPolicy}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpusetCpus}} {{.HostConfig.PidsLimit}}' ur1
t docker update --memory x ur1
t docker update --pids-limit 0 ur1
t docker inspect -f '{{.HostConfig.PidsLimit}}' ur1
t docker update --restart always --cpu-period 1 ur1
t docker update --kernel-memory 50m ur1
t docker update ur1 nosuch --restart no
t docker update
q docker stop -t 0 ur1
t docker update --memory 300m ur1
t docker inspect -f '{{.HostConfig.Memory}}' ur1
q docker rm -f ur1
# restart policies
q docker run -d --name ur1 --restart on-failure:2 busybox sh -c 'echo run; exit 3'
sh_t 'until [ "$(docker inspect -f "{{.RestartCount}} {{.State.Status}}" ur1)" = "2 exited" ]; do sleep 0.1; done; docker inspect -f "{{.RestartCount}} {{.State.ExitCode}} {{.State.Restarting}}" ur1; docker logs ur1'
q docker rm -f ur1
q docker run -d --name ur1 --restart on-failure busybox true
sh_t 'sleep 0.8; docker inspect -f "{{.RestartCount}} {{.State.Status}}" ur1'
q docker rm -f ur1
q docker run -d --name ur1 --restart always busybox sh -c 'sleep 0.3'
sh_t 'until [ "$(docker inspect -f "{{.RestartCount}}" ur1)" -ge 2 ]; do sleep 0.1; done; docker stop -t 0 ur1; sleep 0.5; docker inspect -f "{{.State.Status}}" ur1; docker start ur1; docker inspect -f "{{.RestartCount}}" ur1; docker kill ur1 >/dev/null; docker inspect -f "{{.State.Status}}" ur1'
q docker rm -f ur1
q docker run -d --name ur1 --restart unless-stopped busybox sleep 300
sh_t 'docker kill ur1; sleep 0.5; docker inspect -f "{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}" ur1; docker start ur1; docker exec ur1 kill -9 1; docker exec ur1 sh -c "kill -TERM 1"; docker restart -t 0 ur1; docker inspect -f "{{.State.Status}} {{.RestartCount}}" ur1'
t docker rm ur1
q docker rm -f ur1
t docker run --name ur1 --restart always -d busybox nosuchcommand
t docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Error}} {{.RestartCount}}' ur1
q docker rm -f ur1
# health
q docker run -d --name ur1 --health-cmd 'test -f /ok' --health-interval 300ms --health-retries 2 busybox sh -c 'sleep 300'
t docker inspect -f '{{.State.Health.Status}}' ur1
sh_t 'until [ "$(docker inspect -f "{{.State.Health.Status}}" ur1)" = unhealthy ]; do sleep 0.1; done; docker ps -f name=ur1 --format "{{.Status}}" | sed "s/.*(/(/"; docker inspect -f "{{(index .State.Health.Log 0).ExitCode}} {{json (index .State.Health.Log 0).Output}}" ur1; docker ps -q -f health=unhealthy | wc -l'
sh_t 'docker exec ur1 touch /ok; until [ "$(docker inspect -f "{{.State.Health.Status}}" ur1)" = healthy ]; do sleep 0.1; done; docker inspect -f "{{.State.Health.FailingStreak}}" ur1; docker stop -t 0 ur1; docker inspect -f "{{.State.Health.Status}}" ur1'
q docker rm -f ur1
q docker run -d --name ur1 --health-cmd 'echo out; sleep 5' --health-interval 200ms --health-timeout 300ms --health-retries 1 busybox sleep 300
sh_t 'until [ "$(docker inspect -f "{{.State.Health.Status}}" ur1)" = unhealthy ]; do sleep 0.1; done; docker inspect -f "{{(index .State.Health.Log 0).ExitCode}} {{json (index .State.Health.Log 0).Output}}" ur1'
q docker rm -f ur1
