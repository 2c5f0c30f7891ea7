q docker rm -f if1; q docker volume rm if1
q docker create --name if1 -l a=b -e X=1 busybox sh -c 'a b'
t docker inspect nosuch
t docker inspect if1 nosuch -f '{{.Name}}'
t docker inspect --type image if1
t docker inspect --type container busybox
t docker inspect --type nosuch if1
t docker inspect --type container if1 -f '{{.Name}}'
t docker inspect --type volume nosuch
t docker inspect --type network nosuch
t docker inspect --type node nosuch
t docker inspect --type plugin nosuch
t docker inspect
t docker inspect -f
t docker inspect -f '{{.Nosuch}}' if1
t docker inspect -f '{{.Config.Nosuch}}' if1
t docker inspect -f '{{.Config.Labels.a}} {{.Config.Labels.nosuch}} {{index .Config.Labels "a"}}' if1
t docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' if1
t docker inspect -f '{{range $i, $v := .Config.Cmd}}{{$i}}={{$v}};{{end}}' if1
t docker inspect -f '{{if .State.Running}}yes{{else}}no{{end}} {{not .State.Running}} {{len .Config.Env}}' if1
t docker inspect -f '{{join .Config.Cmd ","}} {{split "a.b" "."}} {{lower "AB"}} {{upper "ab"}} {{title "ab"}} {{pad "x" 2 2}}| {{truncate "abcdef" 3}} {{json .Config.Cmd}}' if1
t docker inspect -f '{{printf "%q %5d %v" .Name .State.ExitCode .Config.Cmd}}' if1
t docker inspect -f '{{.Config.Cmd}} {{.Config.Labels}} {{.HostConfig.RestartPolicy}} {{.NetworkSettings.Ports}}' if1
t docker inspect -f '{{with .Config}}{{.Image}}{{end}} {{with .Nosuch}}x{{end}}' if1
t docker inspect -f '{{index .Config.Cmd 7}}' if1
t docker inspect -f '{{eq .State.ExitCode 0}} {{gt 2 1}} {{and true false}} {{or 0 "x"}} {{slice "abcdef" 1 3}}' if1
t docker inspect -f '{{/* c */}}{{- "trim" -}}  x' if1
t docker inspect -f '{{define "x"}}d{{end}}{{template "x"}}' if1
t docker inspect -f '{{.Name' if1
t docker inspect -f '{{end}}' if1
t docker inspect -f '{{nosuch 1}}' if1
t docker inspect -f '{{printf "%s"}}' if1
t docker inspect -f '{{call .Name}}' if1
t docker inspect -f json if1 nosuch -f '{{json .Path}}'
t docker inspect -f '{{json .State}}' if1
t docker inspect -f '{{json .HostConfig}}' if1
t docker inspect -f '{{json .NetworkSettings}}' if1
t docker inspect -f '{{json .Config}}' if1
sh_t "docker inspect if1 | sed 's/\"[^\"]*\\(overlay\\|containers\\)[^\"]*\"/PATH/' | sed '/LowerDir\\|MergedDir\\|UpperDir\\|WorkDir/d'"
t docker inspect -s -f '{{.SizeRw}} {{if .SizeRootFs}}some{{end}}' if1
t docker inspect -f '{{.SizeRw}}' if1
q docker tag busybox if1
t docker inspect -f '{{.Id}}' if1
t docker inspect --type image -f '{{.RepoTags}}' if1
q docker rmi if1
q docker rm if1
q docker volume create if1
sh_t 'docker inspect if1 | sed "s/\"Mountpoint\": .*/MP/"'
t docker container inspect if1
t docker container inspect
t docker network inspect nosuch
q docker volume rm if1
t docker network inspect bridge -f '{{.Name}} {{.Driver}} {{.Scope}} {{.Internal}}'
