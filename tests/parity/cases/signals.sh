q docker rm -f sg1
q docker run -d --name sg1 busybox sh -c 'trap "echo hup" HUP; trap "echo usr1" USR1; trap "echo term; exit 9" TERM; echo up; while :; do sleep 0.1; done'
sh_t 'until docker logs sg1 | grep -q up; do sleep 0.1; done'
t docker kill -s HUP sg1
sh_t 'sleep 0.4; docker kill --signal=SIGUSR1 sg1; sleep 0.4; docker kill -s 1 sg1; sleep 0.4'
t docker kill -s usr1 sg1
t docker kill -s NOSUCH sg1
t docker kill -s 0 sg1
t docker kill -s 65 sg1
t docker kill -s 99 sg1
t docker kill -s -5 sg1
t docker stop -t x sg1
t docker stop --time 5 --timeout 5 sg1
t docker stop -t 5 sg1
t docker inspect -f '{{.State.ExitCode}} {{.State.Status}}' sg1
t docker logs sg1
q docker rm -f sg1
q docker run -d --name sg1 --stop-signal INT --stop-timeout 1 busybox sh -c 'trap "echo int" INT; echo up; while :; do sleep 0.1; done'
sh_t 'until docker logs sg1 | grep -q up; do sleep 0.1; done'
t docker stop sg1
t docker inspect -f '{{.State.ExitCode}} {{.Config.StopSignal}} {{.Config.StopTimeout}}' sg1
t docker logs sg1
q docker rm -f sg1
q docker run -d --name sg1 busybox sh -c 'trap "echo quit; exit 5" QUIT; echo up; while :; do sleep 0.1; done'
sh_t 'until docker logs sg1 | grep -q up; do sleep 0.1; done'
t docker stop -s QUIT -t 3 sg1
t docker inspect -f '{{.State.ExitCode}}' sg1
q docker rm -f sg1
q docker run -d --name sg1 busybox sh -c 'trap "" TERM; sleep 100'
t docker restart -t 0 -s KILL sg1
t docker restart -s NOSUCH sg1
t docker kill sg1
sh_t 'docker wait sg1'
q docker rm -f sg1
# signals to the client go to the container
sh_t 'docker run --name sg1 busybox sh -c "trap \"echo got term; exit 4\" TERM; echo up; while :; do sleep 0.1; done" & until docker logs sg1 2>/dev/null | grep -q up; do sleep 0.1; done; kill -TERM $!; wait $!; echo code $?'
q docker rm -f sg1
sh_t 'docker run --sig-proxy=false --name sg1 busybox sh -c "trap \"echo got term; exit 4\" TERM; echo up; while :; do sleep 0.1; done" & until docker logs sg1 2>/dev/null | grep -q up; do sleep 0.1; done; kill -TERM $!; wait $! 2>/dev/null; echo code $?; docker inspect -f "{{.State.Running}}" sg1'
sh_t 'docker attach --no-stdin sg1 & sleep 0.5; kill -TERM $!; wait $!; echo code $?; docker inspect -f "{{.State.Running}}" sg1'
q docker rm -f sg1
t docker run --rm --init --name sg1 busybox sh -c 'kill -TERM $$'
t docker run --rm busybox sh -c 'kill -KILL $$; sleep 1'
t docker run --rm busybox sh -c 'sh -c "kill -SEGV \$\$"; code=$?; sleep 0.3; echo $code'
q docker rm -f sg1
