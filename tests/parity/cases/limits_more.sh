cg() { docker run --rm "$@" 2>&1; }
t docker run --rm --cpus 0.5 busybox sh -c 'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us 2>/dev/null || cat /sys/fs/cgroup/cpu.max'
t docker run --rm --cpu-shares 300 busybox sh -c 'cat /sys/fs/cgroup/cpu/cpu.shares 2>/dev/null || cat /sys/fs/cgroup/cpu.weight'
t docker run --rm --cpu-period 50000 --cpu-quota 10000 busybox sh -c 'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us 2>/dev/null || cat /sys/fs/cgroup/cpu.max'
t docker run --rm --cpuset-cpus 0 --cpuset-mems 0 busybox sh -c 'cat /sys/fs/cgroup/cpuset/cpuset.cpus 2>/dev/null || cat /sys/fs/cgroup/cpuset.cpus'
t docker run --rm --memory 64m busybox sh -c 'cat /sys/fs/cgroup/memory/memory.memsw.limit_in_bytes /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null'
t docker run --rm --memory 64m --memory-reservation 32m --memory-swap -1 --memory-swappiness 10 busybox sh -c 'cat /sys/fs/cgroup/memory/memory.soft_limit_in_bytes /sys/fs/cgroup/memory/memory.swappiness 2>/dev/null'
t docker run --rm --memory 64m --oom-kill-disable busybox true
t docker run --rm --oom-kill-disable busybox true
t docker run --rm --oom-score-adj 300 busybox cat /proc/self/oom_score_adj
t docker run --rm --pids-limit -1 busybox sh -c 'cat /sys/fs/cgroup/pids/pids.max 2>/dev/null'
t docker run --rm --pids-limit 3 busybox sh -c 'sleep 1 & sleep 1 & sleep 1 & sleep 1 & wait; echo no'
t docker run --rm --blkio-weight 300 busybox true
t docker run --rm --device-read-bps /dev/nosuch:1m busybox true
t docker run --rm --ulimit core=0 --ulimit cpu=100 --ulimit nofile=50 busybox sh -c 'ulimit -a | sort'
t docker run --rm --cap-drop all busybox grep Cap /proc/self/status
t docker run --rm --cap-add all busybox grep CapEff /proc/self/status
t docker run --rm --cap-add all --cap-drop net_admin busybox grep CapEff /proc/self/status
t docker run --rm --cap-drop chown --cap-drop CAP_KILL --cap-add sys_admin -u 5 busybox grep Cap /proc/self/status
t docker run --rm --privileged busybox grep Cap /proc/self/status
t docker run --rm --privileged --cap-drop sys_admin busybox grep CapEff /proc/self/status
t docker run --rm --cap-drop nosuch busybox true
t docker run --rm --cap-add '' busybox true
t docker run --rm --security-opt no-new-privileges:maybe busybox true
t docker run --rm --security-opt no-new-privileges=true busybox grep NoNewPrivs /proc/self/status
t docker run --rm --security-opt no-new-privileges:false busybox grep NoNewPrivs /proc/self/status
t docker run --rm --security-opt apparmor=unconfined busybox true
t docker run --rm --security-opt label=nosuch busybox true
t docker run --rm --security-opt label:disable busybox true
t docker run --rm --security-opt systempaths=unconfined busybox sh -c 'echo $(grep -c " /proc/" /proc/mounts)'
t docker run --rm --security-opt systempaths=nosuch busybox true
echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir","mkdirat"],"action":"SCMP_ACT_ERRNO"}]}' >p.json; echo '{bad' >bad.json; echo '{"defaultAction":"NOSUCH"}' >bad2.json
t docker run --rm --security-opt seccomp=p.json busybox sh -c 'mkdir /tmp/x'
t docker run --rm --security-opt seccomp=bad.json busybox true
t docker run --rm --security-opt seccomp=builtin busybox grep Seccomp: /proc/self/status
t docker run --rm --sysctl net.ipv4.ip_local_port_range='1024 2000' busybox cat /proc/sys/net/ipv4/ip_local_port_range
t docker run --rm --sysctl kernel.shmmax=1000000 busybox cat /proc/sys/kernel/shmmax
t docker run --rm --uts host --sysctl kernel.hostname=x busybox true
t docker run --rm --sysctl kernel.domainname=dom busybox cat /proc/sys/kernel/domainname
t docker run --rm --device /dev/null:/dev/n2 busybox sh -c 'stat -c "%A %t:%T" /dev/n2; echo x >/dev/n2 && echo wrote'
t docker run --rm --device /dev/zero:/dev/z:r busybox sh -c 'head -c 2 /dev/z | od -An -c; echo x >/dev/z'
t docker run --rm --device /dev/zero:/dev/z:m busybox sh -c 'head -c 2 /dev/z'
t docker run --rm --device-cgroup-rule 'c 10:229 rw' --cap-add mknod busybox sh -c 'mknod /f c 10 229 && cat </dev/null >/f && echo opened'
t docker run --rm busybox sh -c 'mknod /m c 1 1 && cat /m'
t docker run --rm --device /dev busybox true
t docker run --rm --device /etc/hosts busybox true
t docker run --rm --gpus all busybox true
t docker run --rm --shm-size 0 busybox sh -c 'df -m /dev/shm | tail -1 | awk "{print \$2}"'
t docker run --rm --ipc none busybox sh -c 'ls -d /dev/shm 2>/dev/null; grep -c /dev/shm /proc/mounts'
t docker run --rm --cgroupns private busybox sh -c 'cut -d: -f3 /proc/self/cgroup | sort -u'
t docker run --rm --runtime runc busybox true
t docker run --rm --storage-opt size=10g busybox true
t docker run --rm --oom-score-adj 1001 busybox true
t docker run --rm --hostname 'bad_host name' busybox true
t docker run --rm --domainname example.org --hostname h busybox sh -c 'hostname; hostname -f; cat /proc/sys/kernel/domainname; tail -1 /etc/hosts | cut -f2'
