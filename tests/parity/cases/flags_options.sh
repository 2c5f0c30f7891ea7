# what create keeps of its flags, as inspect shows it
q docker rm -f fo1 fo2 fo3
printf 'A=from file\n# comment\nB\nHOME\n   C=indented\nD=\n' >envs; printf 'l1=v 1\n#no\nl2\n' >labels
t env B=outer docker create --name fo1 --env-file envs -e A=flag --label-file labels -l l3=x=y -l l1=again -l bare busybox
sh_t "docker inspect -f '{{json .Config.Env}} {{json .Config.Labels}} {{json .Config.Cmd}} {{json .Config.Entrypoint}}' fo1 | sed s,$HOME,HOME,"
q docker rm fo1
t docker create --name fo1 --hostname h1.example --domainname dom --workdir /w//x/.. --user 12:34 --entrypoint '' --stop-signal SIGINT --stop-timeout 3 --tty -i busybox a 'b c'
t docker inspect -f '{{json .Config}}' fo1
q docker rm fo1
t docker create --name fo1 --memory 64m --memory-reservation 32m --memory-swap 128m --cpus 1.5 --cpuset-cpus 0 --cpu-shares 512 --pids-limit 100 --oom-score-adj 100 --ulimit nofile=10:20 --ulimit core=-1 --ulimit nproc=5 --shm-size 1m busybox
t docker inspect -f '{{.HostConfig.Memory}} {{.HostConfig.MemoryReservation}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpusetCpus}} {{.HostConfig.CpuShares}} {{.HostConfig.PidsLimit}} {{.HostConfig.OomScoreAdj}} {{json .HostConfig.Ulimits}} {{.HostConfig.ShmSize}}' fo1
q docker rm fo1
t docker create --name fo1 --cap-add net_admin --cap-add CAP_SYS_TIME --cap-add all --cap-drop CHOWN --security-opt no-new-privileges:true --security-opt label=disable --read-only --init --ipc private --pid host --uts host --cgroupns host --userns host busybox
t docker inspect -f '{{json .HostConfig.CapAdd}} {{json .HostConfig.CapDrop}} {{json .HostConfig.SecurityOpt}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.Init}} {{.HostConfig.IpcMode}} {{.HostConfig.PidMode}} {{.HostConfig.UTSMode}} {{.HostConfig.CgroupnsMode}} {{.HostConfig.UsernsMode}} {{json .HostConfig.MaskedPaths}} {{json .HostConfig.ReadonlyPaths}}' fo1
q docker rm fo1
t docker create --name fo1 --privileged --tmpfs /a --tmpfs /b:rw,size=1k --device /dev/null --device /dev/zero:/dev/z --device /dev/full:r --device-cgroup-rule 'c 1:3 rwm' --sysctl net.core.somaxconn=100 busybox
t docker inspect -f '{{json .HostConfig.Privileged}} {{json .HostConfig.Tmpfs}} {{json .HostConfig.Devices}} {{json .HostConfig.DeviceCgroupRules}} {{json .HostConfig.Sysctls}} {{json .HostConfig.SecurityOpt}}' fo1
q docker rm fo1
t docker create --name fo1 --restart on-failure:4 --log-driver local --log-opt max-size=1m --dns 9.9.9.9 --dns-search a.b --dns-option ndots:3 --add-host a:1.2.3.4 --add-host b=::1 --expose 80-82 --expose 53/udp --annotation x=y --group-add 5 --group-add mail busybox
t docker inspect -f '{{json .HostConfig.RestartPolicy}} {{json .HostConfig.LogConfig}} {{json .HostConfig.Dns}} {{json .HostConfig.DnsSearch}} {{json .HostConfig.DnsOptions}} {{json .HostConfig.ExtraHosts}} {{json .Config.ExposedPorts}} {{json .HostConfig.Annotations}} {{json .HostConfig.GroupAdd}}' fo1
q docker rm fo1
t docker create --name fo1 --health-cmd 'true || x' --health-interval 2s --health-timeout 500ms --health-retries 4 --health-start-period 1m --health-start-interval 3s busybox
t docker inspect -f '{{json .Config.Healthcheck}} {{json .State.Health}}' fo1
q docker rm fo1
t docker create --name fo1 --no-healthcheck --network none --mac-address 02:42:ac:11:00:09 -a stdout -a STDERR busybox
t docker inspect -f '{{json .Config.Healthcheck}} {{.HostConfig.NetworkMode}} {{.Config.AttachStdin}} {{.Config.AttachStdout}} {{.Config.AttachStderr}} {{.Config.StdinOnce}}' fo1
q docker rm fo1
t docker create --name fo1 --cidfile cid busybox
sh_t 'test "$(cat cid)" = "$(docker inspect -f "{{.Id}}" fo1)" && echo the same id'
t docker create --name fo2 --cidfile cid busybox
t docker create --name fo3 --pull never nosuch:tag
t docker create --name fo3 --platform linux/arm64 --pull never busybox
t docker create --name fo3 --platform linux/amd64 busybox
t docker rm fo1 fo2 fo3
t docker create -p 8080:80 -p 127.0.0.1:53:53/udp -p 90 -p 7000-7001:7000-7001/tcp -p '[::1]:1:1' -P --name fo1 busybox
t docker inspect -f '{{json .HostConfig.PortBindings}} {{.HostConfig.PublishAllPorts}} {{json .Config.ExposedPorts}} {{json .NetworkSettings.Ports}}' fo1
t docker port fo1
q docker rm fo1
