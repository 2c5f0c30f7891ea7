#: xfail the runtime's own words: runc's and ours differ
for args in "-w /etc/passwd busybox true" "-v /usr:/etc/passwd busybox true" "--sysctl net.nosuch=1 busybox true" "--tmpfs /x:size=bad busybox true" "--hostname $(printf 'a%.0s' $(seq 80)) busybox true" "--network host --sysctl net.core.somaxconn=1 busybox true" "--init --entrypoint nosuch busybox"; do
  printf '$ docker run --rm %s\n' "$args"; eval "docker run --rm $args" 2>&1 </dev/null; echo "[exit $?]"
done
