//! Arguments, exit codes and messages.

use super::Sandbox;

#[test]
fn a_tree_without_milvus_is_clean() {
    let sandbox = Sandbox::new();
    sandbox.write("a.yaml", "name: redis\n").write("b.rs", "milvus");
    let outcome = sandbox.run(&["check"]);
    insta::assert_snapshot!(outcome.shown(), @r"
    exit code 0
    --- stdout
    checked 2 files, 0 releases, 0 changes: no findings; 0 not checked
    --- stderr
    ");
}

#[test]
fn required_milvus_that_is_missing_has_its_own_code_and_json_all_the_same() {
    let outcome = Sandbox::new().run(&["check", "--require-milvus", "--format", "json"]);
    assert_eq!((outcome.code, outcome.stderr.as_str()), (3, "warning: no Milvus release was found, and --require-milvus asks for one\n"));
    assert_eq!(outcome.json()["summary"]["releases"], 0);
    assert_eq!(outcome.json()["schema_version"], 1);
}

#[test]
fn a_path_that_does_not_exist_is_told_by_name() {
    let outcome = Sandbox::new().run(&["check", "nothing/here.yaml"]);
    insta::assert_snapshot!(outcome.shown(), @r"
    exit code 2
    --- stdout
    --- stderr
    error: cannot look at `nothing/here.yaml`: no such file or directory
    ");
}

#[test]
fn wrong_arguments_are_told_with_what_is_right() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run(&["check", "--output", "pdf=x"]);
    insta::assert_snapshot!(outcome.shown(), @r"
    exit code 2
    --- stdout
    --- stderr
    error: invalid value 'pdf=x' for '--output <FORMAT=FILE>': `pdf` is not a format; the formats are text, json, sarif and github

    For more information, try '--help'.
    ");
    assert_eq!(sandbox.run(&["check", "--fail-on", "everything"]).code, 2);
    assert_eq!(sandbox.run(&[]).code, 2);
    assert_eq!(sandbox.run(&["--help"]).code, 0);
    assert_eq!(sandbox.run(&["--version"]).stdout, format!("milvus-lint {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_command_explains_itself_with_an_example() {
    let sandbox = Sandbox::new();
    let commands: [&[&str]; 11] = [
        &["check"],
        &["plan"],
        &["values"],
        &["explain"],
        &["rules", "list"],
        &["rules", "test"],
        &["catalogue", "list"],
        &["catalogue", "show"],
        &["catalogue", "diff"],
        &["completions"],
        &["schema"],
    ];
    for command in commands {
        let outcome = sandbox.run(&[command, &["--help"]].concat());
        assert!(outcome.code == 0 && outcome.stdout.contains(&format!("  milvus-lint {}", command.join(" "))), "{}", outcome.shown());
    }
}

#[test]
fn reports_go_to_files_as_well() {
    let sandbox = Sandbox::new();
    sandbox.write("bad.yaml", b"name: milvus \xff\n");
    let outcome = sandbox.run(&["check", "--output", "json=a.json", "--output", "sarif=b.sarif", "--format", "github"]);
    assert_eq!(outcome.code, 0, "{}", outcome.shown());
    assert!(outcome.stdout.contains("::warning file=bad.yaml"), "{}", outcome.shown());
    for file in ["a.json", "b.sarif"] {
        let text = std::fs::read_to_string(sandbox.path().join(file)).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap();
    }
    let outcome = sandbox.run(&["check", "--output", "json=missing/a.json"]);
    insta::assert_snapshot!(outcome.shown(), @r"
    exit code 2
    --- stdout
    --- stderr
    error: cannot write the report to `missing/a.json`; name a file in a folder that exists and can be written: no such file or directory
    ");
}

#[test]
fn strict_makes_what_was_not_checked_an_error() {
    let sandbox = Sandbox::new();
    sandbox.write("bad.yaml", b"name: milvus \xff\n");
    assert_eq!(sandbox.run(&["check"]).code, 0);
    assert_eq!(sandbox.run(&["check", "--strict"]).code, 1);
    assert_eq!(sandbox.run(&["check", "--strict", "--fail-on", "never"]).code, 0);
}

#[test]
fn standard_input_is_read_within_bounds() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run_in("", &["check", "-", "--format", "json"], b"kind: Deployment\nmetadata: {name: milvus}\n");
    assert_eq!((outcome.code, &outcome.json()["summary"]["files"]), (0, &serde_json::json!(1)));
    let outcome = sandbox.run_in("", &["check", "-", "--max-file-size", "10"], b"kind: Deployment\n");
    insta::assert_snapshot!(outcome.shown(), @r"
    exit code 2
    --- stdout
    --- stderr
    error: standard input has more than 10 bytes; split it, or raise the limit with --max-file-size
    ");
    assert_eq!(sandbox.run_in("", &["check", "-"], b"milvus \xff").code, 2);
    assert_eq!(sandbox.run_in("", &["check", "-", "--base", "main"], b"").code, 2);
}

#[test]
fn each_command_that_bash_tells_apart_has_a_case() {
    let script = Sandbox::new().run(&["completions", "bash"]).stdout;
    let set: Vec<&str> = script.lines().filter_map(|line| line.trim().strip_prefix("cmd=\"")?.strip_suffix('"')).filter(|name| !name.is_empty()).collect();
    assert!(set.len() > 20, "{set:?}");
    for name in set {
        assert!(script.lines().any(|line| line.trim() == format!("{name})")), "no case for {name}");
    }
}

#[test]
fn schemas_and_completions_are_printed() {
    let sandbox = Sandbox::new();
    for name in ["check", "plan", "rule"] {
        assert!(sandbox.run(&["schema", name]).json()["$schema"].is_string());
    }
    insta::assert_snapshot!(sandbox.run(&["schema", "x"]).stderr, @"error: there is no schema `x`; there are `check`, `plan`, `rule`, `rollout-orders`");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(sandbox.run(&["completions", shell]).stdout.contains("milvus-lint"));
    }
}

#[test]
fn one_report_goes_to_standard_output() {
    let sandbox = Sandbox::new();
    let json = sandbox.run(&["check", "--output", "json=-"]);
    assert_eq!((json.code, &json.json()["schema_version"]), (0, &serde_json::json!(1)));
    insta::assert_snapshot!(sandbox.run(&["check", "--output", "json=-", "--format", "text"]).shown(), @r"
    exit code 2
    --- stdout
    --- stderr
    error: two formats would go to standard output; give one of --format and `--output FORMAT=-`, and write the others to files
    ");
    assert_eq!(sandbox.run(&["check", "--output", "json=-", "--output", "sarif=-"]).code, 2);
}

#[test]
fn named_files_without_a_release_are_told() {
    let sandbox = Sandbox::new();
    sandbox.write("redis.yaml", "name: redis\n");
    insta::assert_snapshot!(sandbox.run(&["check", "redis.yaml"]).shown(), @r"
    exit code 0
    --- stdout
    checked 1 file, 0 releases, 0 changes: no findings; 0 not checked
    --- stderr
    warning: no Milvus release was found in `redis.yaml`; values of the Milvus chart are named with --values FILE
    ");
    assert_eq!(sandbox.run(&["check"]).stderr, "");
}

#[test]
fn a_milvus_version_is_no_chart_version() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.run(&["catalogue", "show", "2.5.16"]).stderr, @"error: chart 2.5.16 is not known; 2.5.16 is a version of Milvus, which chart 4.2.58 installs by default (`milvus-lint catalogue list` prints all)");
    insta::assert_snapshot!(sandbox.run(&["values", "--chart", "2.5.16"]).stderr, @"error: the default values of chart 2.5.16 are not known; 2.5.16 is a version of Milvus, which chart 4.2.58 installs by default (`milvus-lint catalogue list` prints all)");
    insta::assert_snapshot!(sandbox.run(&["values"]).stderr, @"error: name a file that declares a release, or give a chart version such as 4.2.58 with --chart");
}

#[test]
fn a_list_without_milvus_is_no_state_before() {
    let sandbox = Sandbox::new();
    sandbox.write("list.json", r#"[{"name":"x","chart":"redis-1.0.0"}]"#);
    insta::assert_snapshot!(sandbox.run(&["check", "--before", "list.json"]).stderr, @"error: --before `list.json` lists no release of the Milvus chart; list those of the right cluster and namespace (`helm list --namespace NAME -o json`)");
    insta::assert_snapshot!(sandbox.run(&["values", "--chart", "4.2.58", "--set", "a["]).stderr, @"error: Helm refuses these values: on the command line: an index does not end with ]");
}
