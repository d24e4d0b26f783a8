//! `check` from files to findings: the state before from git, from a version, from files.

use serde_json::{Value, json};

use super::{Outcome, Sandbox, helm_release};

/// `rule file:line:column` of each finding.
fn findings(outcome: &Outcome) -> Vec<String> {
    let json = outcome.json();
    let place = |finding: &Value| {
        let location = &finding["locations"][0];
        format!("{}:{}:{}", location["file"].as_str().unwrap_or("-"), location["line"], location["column"])
    };
    json["findings"].as_array().unwrap().iter().map(|finding| format!("{} {}", finding["rule"].as_str().unwrap(), place(finding))).collect()
}

fn has(outcome: &Outcome, finding: &str) -> bool {
    findings(outcome).iter().any(|found| found == finding)
}

fn repository(before: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("apps/milvus.yaml", before);
    sandbox.git("", &["init", "-q"]);
    sandbox.commit("", "before");
    sandbox
}

#[test]
fn a_dangerous_bump_is_found_at_the_line_that_was_written() {
    let sandbox = repository(&helm_release("4.2.48"));
    sandbox.write("apps/milvus.yaml", helm_release("5.0.19"));
    let outcome = sandbox.run(&["check", "--base", "HEAD", "--format", "json"]);
    assert_eq!(outcome.code, 1, "{}", outcome.shown());
    assert!(has(&outcome, "MV205 apps/milvus.yaml:10:16"), "{}", outcome.shown());
    assert_eq!(outcome.json()["summary"]["changes"], 1);
    for (arguments, code) in [
        (&["--fail-on", "never"][..], 0),
        (&["--fail-on", "warning"], 1),
        (&["--require-milvus"], 1),
        (&["--format", "sarif"], 1),
        (&["--format", "github"], 1),
    ] {
        let outcome = sandbox.run(&[&["check", "--base", "HEAD"], arguments].concat());
        assert_eq!(outcome.code, code, "{arguments:?}: {}", outcome.shown());
    }
    let text = sandbox.run(&["check", "--base", "HEAD"]).stdout;
    assert!(text.contains("error[MV205]") && text.contains("--> apps/milvus.yaml:10:16"), "{text}");
    assert!(!text.contains('\u{1b}') && sandbox.run(&["check", "--base", "HEAD", "--color", "always"]).stdout.contains("\u{1b}["));
}

#[test]
fn the_near_miss_is_silent() {
    let sandbox = repository(&helm_release("4.2.58"));
    sandbox.write("apps/milvus.yaml", helm_release("5.0.19"));
    let outcome = sandbox.run(&["check", "--base", "HEAD", "--format", "json"]);
    assert!(!findings(&outcome).iter().any(|finding| finding.starts_with("MV205")), "{}", outcome.shown());
}

#[test]
fn a_file_that_moves_keeps_its_release() {
    let sandbox = repository(&helm_release("4.2.48"));
    sandbox.write("clusters/prod/milvus.yaml", helm_release("5.0.19"));
    std::fs::remove_file(sandbox.path().join("apps/milvus.yaml")).unwrap();
    let outcome = sandbox.run(&["check", "--base", "HEAD", "--format", "json"]);
    assert!(has(&outcome, "MV205 clusters/prod/milvus.yaml:10:16"), "{}", outcome.shown());
    assert_eq!(outcome.json()["summary"]["changes"], 1);
}

#[test]
fn what_did_not_change_is_no_change() {
    let sandbox = repository(&helm_release("4.2.48"));
    sandbox.write("other/redis.yaml", "name: redis\n");
    let outcome = sandbox.run(&["check", "--base", "HEAD", "--format", "json"]);
    assert_eq!((&outcome.json()["summary"]["changes"], &outcome.json()["summary"]["releases"]), (&json!(0), &json!(1)), "{}", outcome.shown());
    // A file that was only touched is no change either.
    std::thread::sleep(std::time::Duration::from_millis(20));
    sandbox.write("apps/milvus.yaml", helm_release("4.2.48"));
    assert_eq!(sandbox.run(&["check", "--base", "HEAD", "--format", "json"]).json()["summary"]["changes"], 0);
}

#[test]
fn a_file_that_the_release_refers_to_counts_as_well() {
    let chart = "apiVersion: v2\nname: search\nversion: 1.0.0\ndependencies:\n  - name: milvus\n    version: 5.0.19\n    repository: https://zilliztech.github.io/milvus-helm/\n";
    let sandbox = repository("name: none\n");
    sandbox.write("search/Chart.yaml", chart).write("search/values.yaml", "milvus:\n  image:\n    all:\n      tag: v2.5.8\n");
    sandbox.commit("", "umbrella");
    sandbox.write("search/values.yaml", "milvus:\n  image:\n    all:\n      tag: v2.6.15\n");
    let outcome = sandbox.run(&["check", "--base", "HEAD", "--format", "json"]);
    assert!(has(&outcome, "MV205 search/values.yaml:4:12"), "{}", outcome.shown());
}

#[test]
fn what_ran_before_can_be_given() {
    let sandbox = Sandbox::new();
    sandbox.write("milvus.yaml", helm_release("5.0.19"));
    sandbox.write("before.yaml", helm_release("4.2.48"));
    sandbox.write("list.json", r#"[{"name":"vectors","namespace":"prod","chart":"milvus-4.2.48"}]"#);
    sandbox.write("values.txt", "USER-SUPPLIED VALUES:\nimage:\n  all:\n    tag: v2.5.8\n");
    for before in ["4.2.48", "v2.5.10", "before.yaml", "list.json", "values.txt"] {
        let outcome = sandbox.run(&["check", "milvus.yaml", "--before", before, "--format", "json"]);
        assert!(has(&outcome, "MV205 milvus.yaml:10:16"), "{before}: {}", outcome.shown());
    }
    let outcome = sandbox.run(&["check", "milvus.yaml", "--before", "4.2.58", "--format", "json"]);
    assert!(!findings(&outcome).iter().any(|finding| finding.starts_with("MV205")), "{}", outcome.shown());
    insta::assert_snapshot!(sandbox.run(&["check", "milvus.yaml", "--before", "yesterday"]).stderr, @"error: --before `yesterday` is neither a file or folder nor a chart version such as 4.2.58");
}

#[test]
fn json_has_the_same_findings_whatever_the_order_of_threads() {
    let sandbox = Sandbox::new();
    for i in 0..40 {
        sandbox.write(&format!("c{i}/milvus.yaml"), helm_release("5.0.19"));
    }
    let run = || sandbox.run(&["check", "--before", "4.2.48", "--format", "json"]).stdout;
    let first = run();
    assert!((0..5).all(|_| run() == first));
}

#[test]
fn a_part_of_the_tree_is_judged_with_what_it_refers_to_elsewhere() {
    let (release, repository) = {
        let all = helm_release("4.2.48");
        let (release, repository) = all.split_once("---\n").unwrap();
        (release.to_owned(), repository.to_owned())
    };
    let sandbox = Sandbox::new();
    sandbox.write("clusters/prod/milvus.yaml", &release).write("sources/zilliztech.yaml", &repository).write("clusters/dev/milvus.yaml", &release);
    sandbox.git("", &["init", "-q"]);
    sandbox.commit("", "before");
    sandbox.write("clusters/prod/milvus.yaml", release.replace("4.2.48", "5.0.19")).write("clusters/dev/milvus.yaml", release.replace("4.2.48", "5.0.19"));
    for path in ["clusters/prod", "clusters/prod/milvus.yaml"] {
        let outcome = sandbox.run(&["check", path, "--base", "HEAD", "--format", "json"]);
        let found = findings(&outcome);
        assert!(has(&outcome, "MV205 clusters/prod/milvus.yaml:10:16"), "{}", outcome.shown());
        assert!(!found.iter().any(|finding| finding.starts_with("MV903") || finding.contains("clusters/dev")), "{}", outcome.shown());
        assert_eq!((&outcome.json()["summary"]["files"], &outcome.json()["summary"]["releases"]), (&json!(1), &json!(1)));
    }
}

/// Severity of MV210, and what is said about acknowledgements.
fn door(outcome: &Outcome) -> Vec<String> {
    let json = outcome.json();
    let door = json["findings"].as_array().unwrap().iter().filter(|finding| finding["rule"] == "MV210");
    let told = |text: &Value| text.as_str().unwrap().split(" (").next().unwrap().to_owned();
    let told = door.flat_map(|finding| {
        let notes = finding["evidence"].as_array().unwrap().iter().map(|note| told(&note["text"]));
        [told(&finding["severity"])].into_iter().chain(notes.filter(|note| note.contains("acknowledged"))).collect::<Vec<_>>()
    });
    told.chain(outcome.not_checked()).collect()
}

#[test]
fn an_answer_counts_for_the_change_that_brings_it() {
    let with = |chart: &str, ack: &str| format!("# guard.milvus-guard.dev/ack: {ack}\n{}", helm_release(chart));
    let sandbox = repository(&with("4.2.58", "MV210 backup-7"));
    sandbox.write("apps/milvus.yaml", with("5.0.19", "MV210 backup-7"));
    let run = || sandbox.run(&["check", "--base", "HEAD", "--format", "json"]);
    assert_eq!(door(&run()), ["warning", "MV210 acknowledged: backup-7"], "{}", run().shown());
    sandbox.write("apps/milvus.yaml", with("5.0.19", "MV210 backup-8"));
    assert_eq!(door(&run()), ["info", "MV210 acknowledged: backup-8"]);
    sandbox.write("apps/milvus.yaml", with("5.0.19", "MV999 backup-8, MV203 ticket-7, MV210 <reference>"));
    insta::assert_snapshot!(door(&run()).join("\n"), @r"
    warning
    apps/milvus.yaml: MV901: the acknowledgement of MV203 does not count: the rule takes none; `milvus-lint explain MV203` tells what to do
    apps/milvus.yaml: MV901: the acknowledgement of MV210 does not count: `<reference>` is a text to fill in; write where the proof can be looked up
    apps/milvus.yaml: MV901: the acknowledgement of MV999 does not count: there is no such rule; `milvus-lint rules list` prints all
    ");
    // What is given with --before has no answers of its own.
    sandbox.write("apps/milvus.yaml", with("5.0.19", "MV210 backup-7"));
    let outcome = sandbox.run(&["check", "apps/milvus.yaml", "--before", "4.2.58", "--format", "json"]);
    assert_eq!(door(&outcome), ["info", "MV210 acknowledged: backup-7"]);
}

#[test]
fn what_was_there_before_is_marked_and_fails_nobody_elses_change() {
    let with = |more: &str| helm_release("4.2.58").replace("      enabled: true\n", &format!("      enabled: true\n{more}"));
    let dead = "    queryNod: {replicas: 2}\n";
    let sandbox = repository(&with(dead));
    let told = |outcome: &Outcome| -> Vec<String> {
        let json = outcome.json();
        let told = |finding: &Value| format!("{} {} {}", finding["rule"].as_str().unwrap(), finding["severity"].as_str().unwrap(), finding["baseline"]);
        json["findings"].as_array().unwrap().iter().filter(|finding| finding["rule"] == "MV602").map(told).collect()
    };
    let run = |base: &[&str]| sandbox.run(&[&["check", "--fail-on", "warning", "--format", "json"], base].concat());
    assert_eq!(told(&run(&[])), ["MV602 warning null"]);
    // The file moves and another value changes; the dead one is as it was.
    std::fs::remove_file(sandbox.path().join("apps/milvus.yaml")).unwrap();
    sandbox.write("clusters/milvus.yaml", with(&format!("    queryNode: {{replicas: 2}}\n{dead}")));
    let outcome = run(&["--base", "HEAD"]);
    assert_eq!((outcome.code, told(&outcome)), (0, vec![r#"MV602 warning "pre-existing""#.to_owned()]), "{}", outcome.shown());
    assert_eq!(outcome.json()["summary"]["pre_existing"], 2);
    let text = sandbox.run(&["check", "--base", "HEAD"]).stdout;
    assert!(text.contains("pre-existing warning[MV602]: ") && text.contains(": 2 warnings (2 pre-existing);"), "{text}");
    let github = sandbox.run(&["check", "--base", "HEAD", "--format", "github"]).stdout;
    assert!(github.contains("title=MV602 dead-value (pre-existing)::"), "{github}");
    // Another dead value is one of this change.
    sandbox.write("clusters/milvus.yaml", with(&format!("    proxi: {{replicas: 2}}\n{dead}")));
    let outcome = run(&["--base", "HEAD"]);
    assert_eq!((outcome.code, told(&outcome)), (1, vec![r#"MV602 warning "new""#.to_owned(), r#"MV602 warning "pre-existing""#.to_owned()]));
    // A release that is added brings all of its findings.
    sandbox.write("new/milvus.yaml", with(dead).replace("vectors", "search"));
    assert!(told(&run(&["--base", "HEAD"])).contains(&r#"MV602 warning "new""#.to_owned()));
}

#[test]
fn a_bad_version_that_stays_is_no_news_and_another_one_is() {
    let sandbox = repository(&helm_release("4.2.54"));
    let run = || sandbox.run(&["check", "--base", "HEAD", "--format", "json"]);
    let bad = |outcome: &Outcome| outcome.json()["findings"].as_array().unwrap().iter().find(|finding| finding["rule"] == "MV215").unwrap()["baseline"].clone();
    sandbox.write("apps/milvus.yaml", helm_release("4.2.54").replace("enabled: true", "enabled: true\n    queryNode: {replicas: 3}"));
    assert_eq!((run().code, bad(&run())), (0, json!("pre-existing")), "{}", run().shown());
    sandbox.write("apps/milvus.yaml", helm_release("4.2.13"));
    assert_eq!((run().code, bad(&run())), (1, json!("new")), "{}", run().shown());
}

#[test]
fn a_state_before_that_is_not_known_is_not_checked() {
    let script =
        |version: &str| format!("if [ \"$1\" = prod ]; then V={version}; else V=5.0.19; fi\nhelm upgrade -i m zilliztech/milvus -n s --version $V -f v.yaml\n");
    let sandbox = repository("name: none\n");
    sandbox.write("v.yaml", "cluster: {enabled: true}\n").write("up.sh", script("4.2.40"));
    sandbox.commit("", "script");
    sandbox.write("up.sh", script("5.0.19"));
    let outcome = sandbox.run(&["check", "--base", "HEAD", "--format", "json"]);
    let told: Vec<String> = findings(&outcome).into_iter().filter(|finding| finding.starts_with("MV902")).collect();
    assert_eq!((told.len(), &outcome.json()["summary"]["not_checked"], outcome.code), (1, &json!(1), 0), "{}", outcome.shown());
    assert_eq!(sandbox.run(&["check", "--base", "HEAD", "--strict"]).code, 1);
}

#[test]
fn a_waiver_is_told_to_be_without_force() {
    let waived = helm_release("4.2.54").replace("version: 4.2.54", "version: 4.2.54 # milvus-lint: allow MV215 reason=\"known\"");
    let sandbox = repository(&waived);
    sandbox.write(".milvus-lint.yaml", "waivers: []\n");
    let outcome = sandbox.run(&["check", "--base", "HEAD", "--format", "json"]);
    insta::assert_snapshot!(outcome.not_checked().join("\n"), @r"
    .milvus-lint.yaml: MV901: settings are not read from this file by this version: nothing in it is in force
    apps/milvus.yaml: MV901: waivers are not read by this version, so this one is not in force; where a rule takes an answer (`milvus-lint explain RULE`), write `guard.milvus-guard.dev/ack: RULE <reference>`
    ");
    let news: Vec<String> =
        outcome.json()["findings"].as_array().unwrap().iter().map(|finding| format!("{} {}", finding["rule"], finding["baseline"])).collect();
    assert_eq!(news, [r#""MV901" "new""#, r#""MV215" "pre-existing""#, r#""MV901" "pre-existing""#]);
}

#[test]
fn what_is_the_matter_with_a_version_is_told_once() {
    let sandbox = Sandbox::new();
    sandbox.write("milvus.yaml", helm_release("4.2.58"));
    let text = sandbox.run(&["check"]).stdout;
    assert_eq!(text.matches("CVE-2025-64513").count(), 1, "{text}");
}

#[test]
fn the_command_that_lists_all_defaults_is_named_where_it_can_run() {
    let sandbox = Sandbox::new();
    sandbox.write("before.yaml", helm_release("4.2.48")).write("after.yaml", helm_release("4.2.58")).write("range.yaml", helm_release("'>=5.0.19 <5.0.20'"));
    let remedy = |file: &str| {
        let json = sandbox.run(&["check", file, "--before", "before.yaml", "--format", "json"]).json();
        let of_rule = |finding: &&serde_json::Value| finding["rule"] == "MV604";
        json["findings"].as_array().unwrap().iter().find(of_rule).map(|finding| finding["remedy"].as_str().unwrap().to_owned()).unwrap()
    };
    assert_eq!(remedy("after.yaml"), "Set those that should stay as they are. `milvus-lint catalogue diff 4.2.48 4.2.58` lists all.");
    assert_eq!(remedy("range.yaml"), "Set those that should stay as they are.");
}
