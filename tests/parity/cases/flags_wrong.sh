t docker run
t docker run --nosuch busybox
t docker run --memory lots busybox true
t docker run --cpus two busybox true
t docker run --cpus 1.23456789012 busybox true
t docker run --cpu-shares x busybox true
t docker run -e
t docker run -e =bad busybox true
t docker run -l =bad busybox true
t docker run --env-file /nosuch/env busybox true
t docker run --label-file /nosuch/labels busybox true
t docker run --restart sometimes busybox true
t docker run --restart on-failure:x busybox true
t docker run --restart always:3 busybox true
t docker run --rm --restart always busybox true
t docker run -d --rm -a stdout busybox true
t docker run -d -a stdout busybox true
t docker run -a nosuch busybox true
t docker run --ulimit nofile busybox true
t docker run --ulimit nosuch=1 busybox true
t docker run --ulimit nofile=5:1 busybox true
t docker run --ulimit nofile=1:2:3 busybox true
t docker run --device a:b:c:d busybox true
t docker run --device /dev/null:/dev/null:xyz busybox true
t docker run --blkio-weight 5000000 busybox true
t docker run --blkio-weight 5 busybox true
t docker run --blkio-weight-device /dev/null busybox true
t docker run --blkio-weight-device nodev:100 busybox true
t docker run --blkio-weight-device /dev/null:5 busybox true
t docker run --device-read-bps /dev/null busybox true
t docker run --device-read-bps /dev/null:x busybox true
t docker run --device-write-iops /dev/null:-1 busybox true
t docker run --device-cgroup-rule 'q 1:1 r' busybox true
t docker run --health-cmd true --no-healthcheck busybox true
t docker run --health-interval x busybox true
t docker run --health-interval -1s busybox true
t docker run --health-retries -1 --health-cmd true busybox true
t docker run --health-start-period -1s --health-cmd true busybox true
t docker run --memory-swappiness 101 busybox true
t docker run --memory-swappiness x busybox true
t docker run --sysctl net.ipv4.ip_forward busybox true
t docker run --log-opt x busybox true
t docker run --storage-opt x busybox true
t docker run --security-opt seccomp=/nosuch/profile busybox true
t docker run --security-opt seccomp busybox true
t docker run --pid nosuch busybox true
t docker run --ipc nosuch busybox true
t docker run --uts nosuch busybox true
t docker run --userns nosuch busybox true
t docker run --cgroupns nosuch busybox true
t docker run --pull sometimes busybox true
t docker run --stop-signal NOSUCH busybox true
t docker run --stop-timeout x busybox true
t docker run --shm-size -1 busybox true
t docker run --shm-size x busybox true
t docker run --expose x busybox true
t docker run -p 99999:80 busybox true
t docker run -p a:b:c:d busybox true
t docker run --add-host bad busybox true
t docker run --add-host name:notip busybox true
t docker run --dns bad busybox true
t docker run --mac-address bad busybox true
t docker run --ip bad busybox true
t docker run --link nosuch:x busybox true
t docker run --gpus x=y=z,w busybox true
t docker run --isolation nosuch busybox true
t docker run --platform bad/x/y/z busybox true
t docker run --runtime nosuch busybox true
t docker run --network host -p 80:80 --rm busybox true
t docker run --network container:nosuch busybox true
t docker run --network container: busybox true
t docker run --volumes-from nosuch busybox true
t docker run --group-add nosuch busybox true
t docker run -w relative busybox true
t docker run -u 0:nosuch busybox true
t docker run --detach-keys ctrl-nosuch busybox true
t docker run --cidfile /nosuch/dir/cid busybox true
t docker run --use-api-socket=maybe busybox true
t docker run -m 3m busybox true
t docker run -m 64m --memory-swap 32m busybox true
t docker run --memory-swap 32m busybox true
t docker run -m 64m --memory-reservation 128m busybox true
t docker run --memory-reservation 1m busybox true
t docker run --cpus 1000 busybox true
t docker run --cpus 1 --cpu-quota 1000 busybox true
t docker run --cpu-period 1 busybox true
t docker run --cpu-quota 1 busybox true
t docker run --cpuset-cpus x busybox true
t docker run --cpuset-cpus 1000 busybox true
t docker run --cpuset-mems 9 busybox true
t docker run --oom-score-adj 5000 busybox true
t docker run --kernel-memory 1m busybox true
t docker run --pids-limit x busybox true
sh_t 'docker ps -aq | wc -l'
sh_t 'docker ps -aq | xargs -r docker rm -f | wc -l'
