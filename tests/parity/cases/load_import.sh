for i in li:1 li:2 li:3; do q docker rmi -f $i; done
q docker rm -f lic
t docker load -i nosuch.tar
t docker load
sh_t ': | docker load'
sh_t 'head -c 100000 "$IMAGE" | docker load -q'
sh_t 'gzip -c "$IMAGE" | docker load'
sh_t 'xz -c "$IMAGE" | docker load -q'
sh_t 'bzip2 -c "$IMAGE" | docker load -q'
sh_t 'zstd -qc "$IMAGE" | docker load -q'
sh_t 'docker load -q <"$IMAGE"'
mkdir empty; sh_t 'tar -C empty -c . | docker load'
mkdir m; echo '[]' >m/manifest.json; sh_t 'tar -C m -c . | docker load'
echo '{bad' >m/manifest.json; sh_t 'tar -C m -c . | docker load'
echo '[{"Config":"nosuch.json","RepoTags":["li:1"],"Layers":["x"]}]' >m/manifest.json; sh_t 'tar -C m -c . | docker load'
echo '[{"Config":"../../etc/passwd","RepoTags":["li:1"],"Layers":["x"]}]' >m/manifest.json; sh_t 'tar -C m -c . | docker load'
mkdir u; tar -C u -xf "$IMAGE"
sh_t 'sed -i "s/busybox:latest/BAD NAME/" u/manifest.json; tar -C u -c . | docker load -q'
sh_t 'sed -i "s/BAD NAME/li:1\",\"li:2/" u/manifest.json; tar -C u -c . | docker load'
sh_t 'sed -i "s/,\"li:2//; s/\"li:1\"//" u/manifest.json; sed -i s/\"RepoTags\": .../\"RepoTags\": []/ u/manifest.json; cat u/manifest.json | grep -o "RepoTags.*Layers"; tar -C u -c . | docker load | sed s/:.*:/:/'
t docker images li --format '{{.Repository}}:{{.Tag}}'
sh_t 'printf x >>u/layer.tar; truncate -s -100000 u/layer.tar; tar -C u -c . | docker load -q'
t docker rmi li:1 li:2
sh_t 'docker save busybox -o b.tar; docker load -i b.tar; mkdir s; tar -C s -xf b.tar; ls s; cat s/oci-layout; python3 -c "import json; m=json.load(open(\"s/manifest.json\")); print([sorted(x) for x in m], m[0][\"RepoTags\"]); print(json.load(open(\"s/repositories\")).keys())"'
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
t docker import http://nosuch.invalid/x.tar
t docker rmi li:1 li:2 li:3
sh_t 'docker image prune -f >/dev/null'
