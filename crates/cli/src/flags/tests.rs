use super::*;
use crate::commands::ROOT;

const FLAGS: &[Flag] = &[
    flag("all", Kind::Bool, "All").short('a'),
    flag("env", Kind::List, "Variables").short('e'),
    flag("memory", Kind::Bytes, "Limit").short('m'),
    flag("name", Kind::Str, "Name").default("x"),
    flag("net", Kind::Network, "").hidden().same_as("network"),
    flag("network", Kind::Network, "Network"),
    flag("number", Kind::Int, "Number").short('n').default("-1"),
    flag("old", Kind::Int, "").deprecated("use --number instead").same_as("number"),
    flag("platforms", Kind::Strings, ""),
    flag("publish", Kind::List, "Ports").short('p'),
    flag("tty", Kind::Bool, "Terminal").short('t'),
    flag("weight", Kind::Uint16, "Weight"),
];

fn nothing(_: &Context, _: &Parsed) -> Outcome {
    Ok(())
}

const COMMAND: Command = Command::new("test", "[OPTIONS]", "Test", Action::Run(nothing)).flags(FLAGS);

fn given(words: &[&str], command: &Command) -> Result<Parsed, String> {
    let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
    parse(command, &words).map_err(|error| error.to_string())
}

#[test]
fn values_are_read_in_every_form_that_pflag_knows() {
    for (words, name, expect) in [
        (&["--env=a=b"][..], "env", &["a=b"][..]),
        (&["--env", "a"], "env", &["a"]),
        (&["-ea", "-e", "b", "-e=c"], "env", &["a", "b", "c"]),
        (&["-ate", "x"], "env", &["x"]),
        (&["-p80:80"], "publish", &["80:80"]),
        (&["-p=80:80"], "publish", &["80:80"]),
        (&["--env="], "env", &[""]),
        (&["--net", "a", "--network=b"], "network", &["a", "b"]),
        (&["--platforms", "a,b", "--platforms=c"], "platforms", &["a", "b", "c"]),
        (&["-n", "0x10"], "number", &["0x10"]),
    ] {
        assert_eq!(given(words, &COMMAND).unwrap().list(name), expect, "{words:?}");
    }
}

#[test]
fn switches_and_defaults() {
    let parsed = given(&["-at", "--tty=false", "word"], &COMMAND).unwrap();
    assert!(parsed.on("all") && !parsed.on("tty") && parsed.changed("tty") && !parsed.changed("name"));
    assert_eq!((parsed.text("name"), parsed.int("number")), ("x", -1));
    assert_eq!(parsed.args, ["word"]);
    let parsed = given(&["--old", "5"], &COMMAND).unwrap();
    assert_eq!(parsed.int("number"), 5);
    assert_eq!(parsed.warnings, ["Flag --old has been deprecated, use --number instead"]);
}

#[test]
fn flags_after_the_first_argument_belong_to_the_command_where_docker_says_so() {
    let first = COMMAND.flags_first();
    assert_eq!(
        given(&["-a", "image", "sh", "-c", "--", "x"], &first).unwrap().args,
        ["image", "sh", "-c", "--", "x"]
    );
    assert_eq!(given(&["a", "-t", "b", "--", "-a"], &COMMAND).unwrap().args, ["a", "b", "-a"]);
    assert_eq!(given(&["-a", "-"], &COMMAND).unwrap().args, ["-"]);
}

#[test]
fn errors_are_said_in_pflags_words() {
    for (words, expect) in [
        (&["--nosuch"][..], "unknown flag: --nosuch"),
        (&["-az"], "unknown shorthand flag: 'z' in -z"),
        (&["-zit"], "unknown shorthand flag: 'z' in -zit"),
        (&["--env"], "flag needs an argument: --env"),
        (&["-ae"], "flag needs an argument: 'e' in -e"),
        (&["---x"], "bad flag syntax: ---x"),
        (
            &["--all=maybe"],
            "invalid argument \"maybe\" for \"-a, --all\" flag: strconv.ParseBool: parsing \"maybe\": invalid syntax",
        ),
        (
            &["-n", "x"],
            "invalid argument \"x\" for \"-n, --number\" flag: strconv.ParseInt: parsing \"x\": invalid syntax",
        ),
        (
            &["--weight=70000"],
            "invalid argument \"70000\" for \"--weight\" flag: strconv.ParseUint: parsing \"70000\": value out of range",
        ),
        (&["-m", "1x"], "invalid argument \"1x\" for \"-m, --memory\" flag: invalid suffix: 'x'"),
    ] {
        assert_eq!(given(words, &COMMAND).unwrap_err(), expect, "{words:?}");
    }
}

#[test]
fn help_is_laid_out_in_two_columns_and_wrapped() {
    const WIDE: &[Flag] = &[
        flag("attach", Kind::List, "Attach to STDIN, STDOUT or STDERR").short('a'),
        flag(
            "log-level",
            Kind::Str,
            "Set the logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")",
        )
        .short('l')
        .default("info"),
        flag("secret", Kind::Str, "Not shown").hidden(),
    ];
    let command = Command::new("x", "[OPTIONS] NAME", "Do it", Action::Run(nothing)).flags(WIDE);
    let expect = "Usage:  docker x [OPTIONS] NAME\n\nDo it\n\nOptions:\n  \
                  -a, --attach list        Attach to STDIN, STDOUT or STDERR\n  \
                  -l, --log-level string   Set the logging level (\"debug\", \"info\",\n                           \
                  \"warn\", \"error\", \"fatal\") (default \"info\")\n";
    assert_eq!(help_text("docker x", &command, 80, &[]), expect);
}

#[test]
fn tables_have_no_name_twice_and_every_second_spelling_leads_somewhere() {
    fn walk(command: &Command, check: &mut dyn FnMut(&Command)) {
        check(command);
        command.children().iter().for_each(|child| walk(child, check));
    }
    walk(&ROOT, &mut |command| {
        let all: Vec<&Flag> = command.all_flags().collect();
        for (index, flag) in all.iter().enumerate() {
            let twice = all[..index]
                .iter()
                .any(|other| other.name == flag.name || flag.short.is_some() && other.short == flag.short);
            assert!(!twice, "{} has --{} twice", command.name, flag.name);
            assert!(all.iter().any(|other| other.name == flag.target), "--{} of {}", flag.name, command.name);
        }
    });
}
