//! `catalogue`, `explain` and `rules list`.

use super::Sandbox;

#[test]
fn a_chart_version_is_shown() {
    insta::assert_snapshot!(Sandbox::new().run(&["catalogue", "show", "4.2.58"]).shown(), @r"
    exit code 0
    --- stdout
    chart        4.2.58
    date         2025-08-05
    status       published
    image        milvusdb/milvus:v2.5.16
    milvus       2.5.16
    appVersion   2.5.16
    kubeVersion  ^1.10.0-0
    dependencies etcd 6.3.3
                 kafka 15.5.1
                 minio 8.0.17
                 pulsar 3.3.0 as pulsarv3
                 pulsarv2 2.7.8 as pulsar
                 tei 1.6.0
    defaults     known
    --- stderr
    ");
}

#[test]
fn what_changes_between_two_versions_is_listed() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.run(&["catalogue", "diff", "4.2.57", "4.2.58"]).stdout, @r#"
    chart 4.2.57 -> 4.2.58: default values: 1 changed, 0 added, 0 removed

    changed:
      ~ image.all.tag: "v2.5.15" -> "v2.5.16"
    "#);
    let json = sandbox.run(&["catalogue", "diff", "4.2.58", "5.0.19", "--format", "json"]).json();
    let flip = json["changed"].as_array().unwrap().iter().find(|change| change["path"] == "standalone.messageQueue").unwrap();
    assert_eq!((&flip["before"], &flip["after"]), (&"rocksmq".into(), &"woodpecker".into()));
    assert_eq!(json["removed"].as_object().unwrap().len() + json["added"].as_object().unwrap().len(), 54);
}

#[test]
fn all_versions_are_listed_with_the_newest_first() {
    let sandbox = Sandbox::new();
    let json = sandbox.run(&["catalogue", "list", "--format", "json"]).json();
    let text = sandbox.run(&["catalogue", "list"]).stdout;
    assert_eq!(text.lines().count(), json.as_array().unwrap().len() + 1);
    let mut lines = text.lines();
    assert!(lines.next().unwrap().starts_with("CHART ") && lines.all(|line| line == line.trim_end()));
}

#[test]
fn versions_that_are_not_known_are_told_from_what_is_no_version() {
    let sandbox = Sandbox::new();
    insta::assert_snapshot!(sandbox.run(&["catalogue", "show", "9.9.9"]).stderr, @"error: chart 9.9.9 is not known; the newest version known here is 5.0.19 (`milvus-lint catalogue list` prints all)");
    insta::assert_snapshot!(sandbox.run(&["catalogue", "show", "newest"]).stderr, @"error: `newest` is not a chart version such as 4.2.58");
}

#[test]
fn a_rule_is_explained_by_id_and_by_name() {
    let sandbox = Sandbox::new();
    let by_id = sandbox.run(&["explain", "mv205"]);
    assert_eq!((by_id.code, &by_id.stdout), (0, &sandbox.run(&["explain", "stop-at-2-5-16"]).stdout));
    assert!(by_id.stdout.starts_with("MV205 stop-at-2-5-16 (error)\n"), "{}", by_id.shown());
    insta::assert_snapshot!(sandbox.run(&["explain", "MV000"]).shown(), @r"
    exit code 2
    --- stdout
    --- stderr
    error: there is no rule `MV000`; `milvus-lint rules list` prints all
    ");
}

#[test]
fn rules_are_listed() {
    let sandbox = Sandbox::new();
    let json = sandbox.run(&["rules", "list", "--format", "json"]).json();
    assert!(json.as_array().unwrap().iter().any(|rule| rule["id"] == "MV205" && rule["severity"] == "error"));
    assert_eq!(sandbox.run(&["rules", "list"]).stdout.lines().count(), json.as_array().unwrap().len() + 1);
}

#[test]
fn the_rules_pass_their_own_cases_and_no_condition_is_untested() {
    let sandbox = Sandbox::new();
    let outcome = sandbox.run(&["rules", "test"]);
    assert!(outcome.code == 0 && outcome.stdout.trim_end().ends_with(" 0 failed"), "{}", outcome.shown());
    let json = sandbox.run(&["rules", "test", "MV205", "mode-dropped", "--format", "json"]).json();
    let tested: Vec<&str> = json.as_array().unwrap().iter().map(|rule| rule["rule"].as_str().unwrap()).collect();
    assert_eq!(tested, ["MV205", "MV214"]);
    assert!(json[0]["cases"].as_u64() > Some(3) && json[0]["passed"] == true);
    assert_eq!(sandbox.run(&["rules", "test", "MV000"]).code, 2);
}
