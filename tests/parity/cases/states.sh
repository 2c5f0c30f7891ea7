# each verb on a container in each state
q docker rm -f st1
state() { docker inspect -f '{{.State.Status}} {{.State.Running}} {{.State.Paused}} {{.State.Restarting}} {{.State.Dead}} {{.State.ExitCode}} {{.State.Error}} pid={{if .State.Pid}}some{{else}}0{{end}}' st1 2>&1; }
verbs() { for v in "stop -t 0" "kill" "pause" "unpause" "top" "exec st1" "attach --no-stdin" "port" "diff" "logs" "update --memory 100m --memory-swap 200m" "stats --no-stream --format {{.Name}}"; do
  case $v in exec*) t docker $v echo in;; attach*) [ "$1" = running ] || t docker $v st1;; stop*|kill) [ "$1" = running ] || t docker $v st1;; stats*) ts docker $v st1;; *) t docker $v st1 ;; esac; done; t state; }
t docker create --name st1 busybox sleep 100
t state
verbs created
t docker restart -t 0 st1
t state
t docker start st1
t docker rm st1
t docker rename st1 st1
t docker stop -t 0 st1
t state
verbs exited
t docker start st1
t docker pause st1
t state
t docker start st1
t docker pause st1
t docker exec st1 true
t docker stop -t 0 st1
t state
t docker start st1
t docker pause st1
t docker kill st1
t state
t docker start st1
t docker pause st1
t docker restart -t 0 st1
t state
t docker pause st1
t docker rm st1
t docker rm -f st1
t state
t docker rm -f st1
t docker rm nosuch
t docker rm -f nosuch
t docker kill nosuch
t docker pause nosuch
t docker unpause nosuch
t docker top nosuch
t docker port nosuch
t docker diff nosuch
t docker update nosuch
t docker update -m 10m nosuch
t docker restart nosuch
t docker attach nosuch
t docker wait nosuch
t docker stats --no-stream nosuch
t docker stop nosuch other
t docker start -a nosuch
t docker start -a a b
t docker start -i a b
t docker start
t docker kill -s '' nosuch
