q docker rm -f td1
q docker run -d --name td1 busybox sh -c 'mkdir -p /new/deep; echo x >/new/deep/file; rm /etc/passwd; echo y >>/etc/group; ln -s a /link; chmod 700 /tmp; touch /dev/shm/x; rm -r /var/www; mkdir /var/www; sleep 300'
sh_t 'sleep 0.3; docker diff td1 | sort'
sh_t 'docker top td1 | head -1'
sh_t 'docker top td1 | awk "NR>1{print \$1, \$NF}"'
t docker top td1 -o comm
t docker top td1 -o args,comm
sh_t 'docker top td1 -eo pid,comm | awk "{print \$2}"'
sh_t 'docker top td1 aux | head -1'
sh_t 'docker top td1 -ef | head -1'
sh_t 'docker top td1 -o pid,ppid,user,nosuch'
t docker top td1 -o comm=X
t docker top td1 -o nosuch
sh_t 'docker top td1 -o user,uid,group,stat,nice,tty,comm | tail -1'
sh_t 'docker top td1 axo comm'
t docker top
t docker diff
t docker diff td1 td1
t docker stop -t 0 td1
sh_t 'docker diff td1 | sort'
t docker top td1
q docker rm -f td1
