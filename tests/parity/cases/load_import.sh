for i in li:1 li:2 li:3; do q docker rmi -f $i; done
q docker rm -f lic
t docker load -i nosuch.tar
sh_t 'head -c 100000 "$IMAGE" | docker load -q'
sh_t 'gzip -c "$IMAGE" | docker load'
sh_t 'zstd -qc "$IMAGE" | docker load -q'
sh_t 'docker load -q <"$IMAGE"'
mkdir m; echo '[]' >m/manifest.json; sh_t 'tar -C m -c . | docker load'
echo '{bad' >m/manifest.json; sh_t 'tar -C m -c . | docker load'
mkdir u; tar -C u -xf "$IMAGE"
sh_t 'sed -i "s/busybox:latest/BAD NAME/" u/manifest.json; tar -C u -c . | docker load -q'
sh_t 'sed -i "s/BAD NAME/li:1\",\"li:2/" u/manifest.json; tar -C u -c . | docker load'
t docker images li --format '{{.Repository}}:{{.Tag}}'
t docker rmi li:1 li:2
sh_t 'docker tag busybox li:1; docker save busybox li:1 -o b.tar; docker rmi li:1; docker load -i b.tar'
sh_t 'docker save $(docker images -q li:1) -o id.tar; docker rmi li:1; docker load -i id.tar'
# import
mkdir fs; mkdir fs/bin; cp /bin/busybox fs/bin/ ; echo x >fs/file
sh_t 'tar -C fs -c . | docker import - li:1'
t docker run --rm li:1 /bin/busybox cat /file
t docker run --rm li:1
t docker run --rm --entrypoint '' li:1
sh_t 'tar -C fs -c . | docker import -m "a message" -c "CMD [\"/bin/busybox\",\"echo\",\"cmd\"]" -c "ENV A=b C=\"d e\"" -c "WORKDIR /w" -c "LABEL l=v" -c "EXPOSE 80/tcp" -c "USER 5" -c "VOLUME /v" -c "ENTRYPOINT []" -c "STOPSIGNAL INT" -c "HEALTHCHECK --interval=3s CMD true" -c "ONBUILD RUN x" - li:2'
t docker image inspect -f '{{json .Config}} {{.Comment}} {{.Author}} {{.Architecture}} {{.Os}} {{len .RootFS.Layers}}' li:2
t docker run --rm -u 0 li:2
t docker history --format '{{.CreatedBy}}|{{.Comment}}' li:2
sh_t 'tar -C fs -cz . | docker import - li:3'
t docker import nosuch.tar
t docker import
sh_t 'tar -C fs -c . >fs.tar; docker import fs.tar li:3'
sh_t 'docker import -c "NOSUCH x" fs.tar li:3'
sh_t 'docker import -c "RUN x" fs.tar li:3'
sh_t 'docker import fs.tar BAD:x'
sh_t 'docker import --platform linux/arm64 fs.tar li:3; docker image inspect -f "{{.Architecture}}" li:3'
sh_t 'docker import --platform bad/x/y/z fs.tar li:3'
sh_t 'echo junk | docker import - li:3'
sh_t 'docker import fs.tar | cut -c1-7; docker images -f dangling=true --format "{{.Repository}} {{.Tag}}"; docker image prune -f | sed s/:.*/:/'
t docker rmi li:1 li:2 li:3
sh_t 'docker image prune -f >/dev/null'
