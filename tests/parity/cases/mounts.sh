q docker rm -f mo1 mo2; q docker volume rm mov1 mov2
t docker run --rm -v /nosuch/wharf-parity:/x:ro --mount type=bind,src=/nosuch/other,dst=/y busybox true
t docker run --rm --mount type=bind,src=/nosuch/other,dst=/y busybox true
t docker run --rm --mount type=bind,src=relative,dst=/y busybox true
t docker run --rm --mount type=bind,dst=/y busybox true
t docker run --rm --mount type=bind,src=/usr busybox true
t docker run --rm --mount type=nosuch,dst=/y busybox true
t docker run --rm --mount type=bind,src=/usr,dst=y busybox true
t docker run --rm --mount type=bind,src=/usr,dst=/y,nosuch=1 busybox true
t docker run --rm --mount type=bind,src=/usr,dst=/y,readonly=maybe busybox true
t docker run --rm --mount type=bind,src=/usr,dst=/y,bind-propagation=nosuch busybox true
t docker run --rm --mount type=volume,src=v,dst=/y,bind-propagation=rslave busybox true
t docker run --rm --mount type=bind,src=/usr,dst=/y,volume-nocopy busybox true
t docker run --rm --mount type=tmpfs,src=/x,dst=/y busybox true
t docker run --rm --mount type=tmpfs,dst=/y,tmpfs-size=x busybox true
t docker run --rm --mount type=tmpfs,dst=/y,tmpfs-mode=9 busybox true
t docker run --rm --mount dst busybox true
t docker run --rm --mount '' busybox true
t docker run --rm --mount type=volume,dst=/ busybox true
t docker run --rm -v /usr:/ busybox true
t docker run --rm -v /usr:/x:nosuch busybox true
t docker run --rm -v /usr:/x:ro,rw busybox true
t docker run --rm -v a:b:c:d busybox true
t docker run --rm -v :/x busybox true
t docker run --rm -v '' busybox true
t docker run --rm -v relative:x busybox true
t docker run --rm -v 'bad name:/x' busybox true
t docker run --rm -v ./nosuchdir:/x:ro,z busybox true
t docker run --rm -v x:/y -v z:/y busybox true
t docker run --rm --tmpfs relative busybox true
t docker run --rm --tmpfs /x -v /usr:/x busybox true
t docker run --rm --mount type=tmpfs,dst=/y,tmpfs-size=1m,tmpfs-mode=700 busybox sh -c 'stat -c %a /y; df -k /y | tail -1 | awk "{print \$2}"; grep " /y " /proc/mounts | cut -d" " -f2,3,4'
t docker run --rm -v mov1:/data busybox sh -c 'echo kept >/data/f'
t docker run --rm -v mov1:/data:ro busybox sh -c 'cat /data/f; sleep 0.3; touch /data/g'
t docker run --rm --mount source=mov1,target=/data,readonly busybox touch /data/g
t docker run --rm -v mov1:/data busybox mkdir -p /data/sub
t docker run --rm --mount type=volume,src=mov1,dst=/s,volume-subpath=sub busybox sh -c 'touch /s/in; ls /s'
t docker run --rm --mount type=volume,src=mov1,dst=/s,volume-subpath=../x busybox true
t docker run --rm -v /usr/share:/x:ro busybox sh -c 'touch /x/a; sleep 0.3; grep " /x " /proc/mounts | cut -d" " -f4 | cut -d, -f1'
t docker run --rm -v /etc/hostname:/x/file busybox sh -c 'test -f /x/file && echo a file'
t docker run -d --name mo1 -v mov1:/a -v /usr:/b:ro -v /anon --mount type=tmpfs,dst=/t --tmpfs /u:size=1m --mount type=volume,dst=/anon2,volume-label=k=v busybox sleep 100
sh_t "docker inspect -f '{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}} [{{.Mode}}] {{.Propagation}} {{.Driver}}{{println}}{{end}}' mo1 | sort"
t docker inspect -f '{{len .HostConfig.Binds}} {{len .HostConfig.Mounts}} {{json .HostConfig.Tmpfs}} {{json .Config.Volumes}}' mo1
t docker run --rm --volumes-from mo1:bad busybox true
q docker run -d --name mo2 -v mov1:/a -v /usr:/b:ro -v /anon busybox sleep 100
t docker run --rm --volumes-from mo2 busybox sh -c 'ls -d /a /b /anon; cat /a/f'
q docker rm -fv mo2
t docker volume rm mov1
t docker rm -fv mo1
t docker run --rm --read-only --tmpfs /run -v mov1:/a busybox sh -c 'touch /a/1 /run/2 /dev/shm/3 && touch /4'
t docker run --rm --mount type=bind,src=/usr/share,dst=/x,bind-recursive=readonly busybox true
t docker run --rm --mount type=bind,src=/usr/share,dst=/x,ro,bind-recursive=disabled busybox touch /x/1
t docker run --rm --mount type=bind,src=/usr/share,dst=/x,bind-recursive=nosuch busybox true
t docker run --rm --mount type=npipe,src=x,dst=/img busybox true
t docker volume rm mov1 mov2
t docker volume rm mov1
