use serde_json::json;

use super::*;

fn apply(template: &str) -> String {
    let data = Value::from_json(&json!({
        "Id": "abc", "Name": "/x", "Count": 3, "Ratio": 1.5, "On": true, "Empty": [], "Nothing": null,
        "Args": ["a", "b"], "Labels": {"z": "1", "a": "2"},
        "State": {"Status": "running", "Running": true, "Pid": 12},
        "Mounts": [{"Type":"bind","Source":"/s","Destination":"/d","Mode":"","RW":true,"Propagation":"rprivate"}],
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp":"","HostPort":"8080"}]}, "OomKillDisable": null},
    }));
    match Template::parse(template).and_then(|template| template.execute(&data, Functions::Data)) {
        Ok(text) => text,
        Err(error) => format!("ERROR {error}"),
    }
}

#[test]
fn actions_show_values_as_go_does() {
    for (template, expect) in [
        ("plain", "plain"),
        ("{{.Name}} {{.Count}} {{.Ratio}} {{.On}}", "/x 3 1.5 true"),
        ("{{.Args}} {{.Labels}} {{.Empty}} {{.Nothing}}", "[a b] map[a:2 z:1] [] []"),
        ("{{.State.Status}}{{.State.Running}}", "runningtrue"),
        ("{{.ID}}", "abc"),
        ("{{.Mounts}}", "[{bind  /s /d   true rprivate}]"),
        (
            "{{json .Mounts}}",
            r#"[{"Type":"bind","Source":"/s","Destination":"/d","Mode":"","RW":true,"Propagation":"rprivate"}]"#,
        ),
        ("{{.HostConfig.PortBindings}}", "map[80/tcp:[{ 8080}]]"),
        ("{{.HostConfig.OomKillDisable}}", "<nil>"),
        ("{{json .Labels}} {{json .Nothing}}", r#"{"a":"2","z":"1"} null"#),
        ("{{.Labels.nosuch}}", "<no value>"),
        ("{{index .Labels \"z\"}}|{{index .Labels \"nosuch\"}}|{{index .Args 1}}", "1||b"),
        ("{{.State.Health}}", "<nil>"),
        ("{{if .State.Health}}healthy{{else}}none{{end}}", "none"),
        ("{{/* a comment */}}x", "x"),
        ("a {{- .Count -}} b", "a3b"),
        ("a {{ .Count }} b", "a 3 b"),
    ] {
        assert_eq!(apply(template), expect, "{template}");
    }
}

#[test]
fn control_structures_work_as_in_go() {
    for (template, expect) in [
        ("{{range .Args}}{{.}},{{end}}", "a,b,"),
        ("{{range $i, $e := .Args}}{{if $i}}, {{end}}{{$i}}={{$e}}{{end}}", "0=a, 1=b"),
        ("{{range $k, $v := .Labels}}{{$k}}={{$v}};{{end}}", "a=2;z=1;"),
        ("{{range .Empty}}x{{else}}none{{end}}", "none"),
        ("{{range .Args}}{{break}}{{end}}|{{range .Args}}{{continue}}x{{end}}", "|"),
        ("{{with .State}}{{.Pid}} {{$.Count}}{{end}}", "12 3"),
        ("{{with .Empty}}x{{else}}y{{end}}", "y"),
        ("{{if eq .Count 1}}one{{else if eq .Count 3}}three{{else}}many{{end}}", "three"),
        ("{{if and .On (gt .Count 2) (not .Empty)}}yes{{end}}", "yes"),
        ("{{$x := 1}}{{if .On}}{{$x = 2}}{{end}}{{$x}}", "2"),
        ("{{define \"t\"}}<{{.}}>{{end}}{{template \"t\" .Count}}", "<3>"),
        ("{{(index .Mounts 0).Source}}", "/s"),
        ("{{range .Mounts}}{{.Type}} {{.Destination}}{{end}}", "bind /d"),
    ] {
        assert_eq!(apply(template), expect, "{template}");
    }
}

#[test]
fn functions_are_those_of_go_and_docker() {
    for (template, expect) in [
        ("{{upper .Name}} {{lower \"ABC\"}} {{title \"some words\"}}", "/X abc Some Words"),
        ("{{join .Args \", \"}} {{split \"a,b\" \",\"}} {{(split \"a,b\" \",\")}}", "a, b [a b] [a b]"),
        ("{{pad \"x\" 1 2}}|{{truncate \"abcdef\" 3}}|{{truncate \"a\" 3}}", " x  |abc|a"),
        ("{{len .Args}} {{len .Labels}} {{len .Name}}", "2 2 2"),
        ("{{printf \"%s-%d-%5.2f-%q-%v\" .Name .Count .Ratio .Name .On}}", "/x-3- 1.50-\"/x\"-true"),
        ("{{printf \"%-5s|%5s|%05d|%x\" .Name .Name .Count 255}}", "/x   |   /x|00003|ff"),
        ("{{print .Count 1 \"a\" .Count}}{{println 1 \"b\"}}", "3 1a31 b\n"),
        ("{{.Name | printf \"%s\" | upper}}", "/X"),
        ("{{slice .Name 1 2}} {{html \"<a>\"}} {{urlquery \"a b/\"}}", "x &lt;a&gt; a+b%2F"),
        ("{{eq .Count 1 2 3}} {{ne .Name \"y\"}} {{lt 1 2}} {{ge .Ratio 1.5}}", "true true true true"),
        ("{{`raw`}} {{'a'}} {{0x10}} {{1.5}} {{true}}", "raw 97 16 1.5 true"),
        ("{{or .Empty .Name}} {{and .Name .Count}}", "/x 3"),
    ] {
        assert_eq!(apply(template), expect, "{template}");
    }
}

#[test]
fn errors_are_said_in_gos_words() {
    for (template, expect) in [
        (
            "{{.NoSuchField}}",
            "template: :1:2: executing \"\" at <.NoSuchField>: map has no entry for key \"NoSuchField\"",
        ),
        (
            "{{.State.Foo}}",
            "template: :1:8: executing \"\" at <.State.Foo>: map has no entry for key \"Foo\"",
        ),
        (
            "{{.Name.Foo}}",
            "template: :1:7: executing \"\" at <.Name.Foo>: can't evaluate field Foo in type string",
        ),
        (
            "{{index .Args 5}}",
            "template: :1:2: executing \"\" at <index .Args 5>: error calling index: index out of range: 5",
        ),
        ("{{nosuch .Args}}", "template: :1: function \"nosuch\" not defined"),
        ("{{.Name", "template: :1: unclosed action"),
        ("{{if .Name}}x", "template: :1: unexpected EOF"),
        ("{{end}}", "template: :1: unexpected {{end}}"),
        ("{{}}", "template: :1: missing value for command"),
        ("{{$x}}", "template: :1: undefined variable \"$x\""),
        ("{{len 3}}", "template: :1:2: executing \"\" at <len 3>: error calling len: len of type int"),
        (
            "{{upper 3}}",
            "template: :1:8: executing \"\" at <3>: wrong type for value; expected string; got int",
        ),
        (
            "{{eq .Count \"a\"}}",
            "template: :1:2: executing \"\" at <eq .Count \"a\">: error calling eq: incompatible types for comparison",
        ),
        (
            "{{upper}}",
            "template: :1:2: executing \"\" at <upper>: wrong number of args for upper: want 1 got 0",
        ),
    ] {
        assert_eq!(apply(template), format!("ERROR {expect}"), "{template}");
    }
}

#[test]
fn rows_are_json_objects_with_sorted_keys_and_escaped_html() {
    let labels = [("k".to_owned(), "v".to_owned())].into();
    let row = Value::row_with_labels(
        "*formatter.ContainerContext",
        vec![("Names", "x".into()), ("Command", "\"a && b\"".into())],
        labels,
    );
    let apply = |template: &str| Template::parse(template).unwrap().execute(&row, Functions::Data);
    assert_eq!(apply("{{json .}}").unwrap(), r#"{"Command":"\"a \u0026\u0026 b\"","Names":"x"}"#);
    assert_eq!(apply("{{.Label \"k\"}}|{{.Label \"n\"}}").unwrap(), "v|");
    assert_eq!(
        apply("{{.Foo}}").unwrap_err().to_string(),
        "template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type *formatter.ContainerContext"
    );
    assert!(Template::parse("{{.Size}}").unwrap().uses_field("Size"));
    assert!(!Template::parse("{{.SizeRw}}").unwrap().uses_field("Size"));
}
