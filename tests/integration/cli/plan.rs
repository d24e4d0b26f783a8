//! `plan`: paths, refusals, and hops as edits of the user's own file.

use super::{Sandbox, helm_release};

#[test]
fn a_path_is_printed_in_every_format() {
    let sandbox = Sandbox::new();
    let json = sandbox.run(&["plan", "--from", "2.5.10", "--to", "2.6.15", "--format", "json"]);
    assert_eq!(json.code, 0, "{}", json.shown());
    let json = json.json();
    let hops: Vec<&str> = json["hops"].as_array().unwrap().iter().map(|hop| hop["chart"].as_str().unwrap()).collect();
    assert_eq!((&json["refused"], hops), (&serde_json::Value::Null, vec!["4.2.58", "5.0.19"]));
    assert!(sandbox.run(&["plan", "--from", "2.5.10", "--to", "2.6.15"]).stdout.starts_with("Milvus 2.5.10 to 2.6.15 in 2 hops\n"));
    assert!(sandbox.run(&["plan", "--from", "2.5.10", "--to", "2.6.15", "--format", "markdown"]).stdout.starts_with("# "));
}

#[test]
fn a_refusal_has_its_own_code_and_json_all_the_same() {
    let outcome = Sandbox::new().run(&["plan", "--from", "2.6.15", "--to", "2.5.16", "--format", "json"]);
    assert_eq!(outcome.code, 1, "{}", outcome.shown());
    assert!(outcome.json()["refused"]["rule"].as_str().unwrap().starts_with("MV"));
}

#[test]
fn mistakes_are_told() {
    let sandbox = Sandbox::new();
    sandbox.write("redis.yaml", "name: redis\n");
    insta::assert_snapshot!(sandbox.run(&["plan", "--from", "newest", "--to", "2.6.15"]).stderr, @"error: `newest` is no Milvus version that is known here; write it as 2.5.16, or as 2.5 for a line");
    insta::assert_snapshot!(sandbox.run(&["plan", "--to", "2.6.15", "--for", "redis.yaml"]).stderr, @"error: `redis.yaml` declares no Milvus release that can be read; name a file that does");
    assert_eq!(sandbox.run(&["plan", "--to", "2.6.15"]).code, 2);
    assert_eq!(sandbox.run(&["plan", "--to", "2.6.15", "--for", "redis.yaml", "--format", "json"]).code, 2);
}

#[test]
fn hops_are_shown_as_edits_that_lead_from_one_to_the_next() {
    let sandbox = Sandbox::new();
    sandbox.write("milvus.yaml", helm_release("4.2.48").replace("    cluster:\n", "    image: {all: {tag: v2.5.11}} # pinned\n    cluster:\n"));
    let outcome = sandbox.run(&["plan", "--to", "2.6.15", "--for", "milvus.yaml"]);
    assert_eq!(outcome.code, 0, "{}", outcome.shown());
    let diffs = outcome.stdout.split_once("\nEdit for hop 1").unwrap().1;
    insta::assert_snapshot!(diffs, @r"
    , Milvus 2.5.22 on chart 4.2.58:

    --- a/milvus.yaml
    +++ b/milvus.yaml
    @@ -7,12 +7,22 @@
       chart:
         spec:
           chart: milvus
    -      version: 4.2.48
    +      version: 4.2.58
           sourceRef:
             kind: HelmRepository
             name: zilliztech
       values:
    +    dataCoordinator:
    +      enabled: false
    +    indexCoordinator:
    +      enabled: false
    +    mixCoordinator:
    +      enabled: true
    +    queryCoordinator:
    +      enabled: false
    +    rootCoordinator:
    +      enabled: false
    -    image: {all: {tag: v2.5.11}} # pinned
    +    image: {all: {tag: v2.5.22}} # pinned
         cluster:
           enabled: true
     ---

    Edit for hop 2, Milvus 2.6.15 on chart 5.0.19:

    --- a/milvus.yaml
    +++ b/milvus.yaml
    @@ -7,11 +7,15 @@
       chart:
         spec:
           chart: milvus
    -      version: 4.2.58
    +      version: 5.0.19
           sourceRef:
             kind: HelmRepository
             name: zilliztech
       values:
    +    indexNode:
    +      enabled: false
    +    streaming:
    +      enabled: true
         dataCoordinator:
           enabled: false
         indexCoordinator:
    @@ -22,7 +26,7 @@
           enabled: false
         rootCoordinator:
           enabled: false
    -    image: {all: {tag: v2.5.22}} # pinned
    +    image: {all: {tag: v2.6.15}} # pinned
         cluster:
           enabled: true
     ---
    ");
    // The diffs apply one after the other, and what they lead to says the version that was wanted.
    sandbox.git("", &["init", "-q"]);
    let patch: String = diffs.lines().filter(|line| line.starts_with(['-', '+', '@', ' '])).map(|line| format!("{line}\n")).collect();
    let hops: Vec<String> = patch.split("--- a/").filter(|hop| !hop.is_empty()).map(|hop| format!("--- a/{hop}")).collect();
    for hop in &hops {
        sandbox.write("hop.patch", hop);
        sandbox.git("", &["apply", "hop.patch"]);
    }
    let values = sandbox.run(&["values", "milvus.yaml", "--format", "json"]).json();
    assert_eq!((hops.len(), &values["image"]["all"]["tag"], &values["streaming"]["enabled"]), (2, &"v2.6.15".into(), &true.into()));
}
