//! `plan`: paths, refusals, and hops as edits of the user's own file.

use super::{Outcome, Sandbox, helm_release};

#[test]
fn a_path_is_printed_in_every_format() {
    let sandbox = Sandbox::new();
    let json = sandbox.run(&["plan", "--from", "2.5.10", "--to", "2.6.15", "--format", "json"]);
    assert_eq!(json.code, 0, "{}", json.shown());
    let json = json.json();
    assert_eq!(json["schema_version"], 1);
    let hops: Vec<&str> = json["hops"].as_array().unwrap().iter().map(|hop| hop["chart"].as_str().unwrap()).collect();
    assert_eq!((&json["refused"], hops), (&serde_json::Value::Null, vec!["4.2.58", "5.0.19"]));
    assert!(sandbox.run(&["plan", "--from", "2.5.10", "--to", "2.6.15"]).stdout.starts_with("Milvus 2.5.10 to 2.6.15 in 2 hops\n"));
    assert!(sandbox.run(&["plan", "--from", "2.5.10", "--to", "2.6.15", "--format", "markdown"]).stdout.starts_with("# "));
}

#[test]
fn a_simulated_plan_shows_what_runs_when() {
    let sandbox = Sandbox::new();
    let json = sandbox.run(&["plan", "--from", "2.5.22", "--to", "2.6.15", "--simulate", "--format", "json"]).json();
    let timeline = &json["hops"][0]["timeline"];
    let events: Vec<&str> = timeline["events"].as_array().unwrap().iter().map(|event| event["text"].as_str().unwrap()).collect();
    let expected = [
        "keep indexnode until its turn",
        "start streamingnode (1 pod)",
        "replace mixcoord (1 pod)",
        "replace querynode (1 pod)",
        "replace datanode (1 pod)",
        "replace proxy (1 pod)",
        "delete indexnode",
        "complete",
    ];
    assert_eq!(events, expected);
    assert_eq!((&timeline["events"][2]["one_way"], &timeline["not_drawn"]), (&true.into(), &serde_json::Value::Null));
    let text = sandbox.run(&["plan", "--from", "2.1.4", "--to", "2.2.16", "--topology", "standalone", "--simulate"]).stdout;
    assert!(text.contains("migrate the metadata\n") && text.contains("proxy from 0:05 to"), "{text}");
    let markdown = sandbox.run(&["plan", "--from", "2.5.22", "--to", "2.6.15", "--simulate", "--format", "markdown"]).stdout;
    assert!(markdown.contains("| 0:05 | replace mixcoord (1 pod) **From here on there is no way back.** |"), "{markdown}");
    let away: Vec<&str> = timeline["away"].as_array().unwrap().iter().map(|away| away["what"].as_str().unwrap()).collect();
    assert_eq!(away[3..], ["changes of collections, partitions and indexes", "flush", "some writes"]);
    // A rollback that may work is not called impossible.
    let minor = sandbox.run(&["plan", "--from", "2.4.16", "--to", "2.5.22", "--simulate"]).stdout;
    assert!(minor.contains("`helm rollback`") && minor.contains("milvus-guard takes nothing back by itself") && !minor.contains("is no way back"), "{minor}");
    sandbox.write("v.yaml", "proxy: {strategy: {type: Recreate}}\nqueryNode: {hpa: {enabled: true}}\n");
    let set = sandbox.run(&["plan", "--from", "2.6.0", "--to", "2.6.15", "--simulate", "--values", "v.yaml"]).stdout;
    assert!(set.contains("Not drawn: `proxy.strategy`") && set.contains("`queryNode.hpa` is not looked at"), "{set}");
    // Not asked for, not told.
    assert!(!sandbox.run(&["plan", "--from", "2.5.22", "--to", "2.6.15", "--format", "json"]).stdout.contains("timeline"));
}

#[test]
fn a_refusal_has_its_own_code_and_json_all_the_same() {
    let outcome = Sandbox::new().run(&["plan", "--from", "2.6.15", "--to", "2.5.16", "--format", "json"]);
    assert_eq!(outcome.code, 1, "{}", outcome.shown());
    assert!(outcome.json()["refused"]["rule"].as_str().unwrap().starts_with("MV"));
}

#[test]
fn a_way_back_that_the_guard_refuses_is_not_promised() {
    let back = |arguments: &[&str]| {
        let all: Vec<&str> = ["plan", "--format", "json"].iter().chain(arguments).copied().collect();
        let plan = Sandbox::new().run(&all).json();
        plan["hops"].as_array().unwrap().last().unwrap()["rollback"].as_str().unwrap().to_owned()
    };
    let moved = back(&["--from", "2.5.10", "--to", "2.5.22", "--chart", "4.2.45"]);
    assert!(
        moved.contains("is not the way") && moved.contains("[MV110]") && moved.ends_with("set `image.all.tag` to `v2.5.10`: that brings back 2.5.10."),
        "{moved}"
    );
    let minor = back(&["--from", "2.4.16", "--to", "2.5.22"]);
    assert!(minor.contains("[MV110]") && minor.ends_with("what surely leads back is a restore of the backup."), "{minor}");
    let patch = back(&["--from", "2.5.16", "--to", "2.5.22", "--chart", "4.2.58"]);
    assert!(patch.ends_with("brings back 2.5.16.") || patch.contains("[MV110]"), "{patch}");
}

#[test]
fn mistakes_are_told() {
    let sandbox = Sandbox::new();
    sandbox.write("redis.yaml", "name: redis\n");
    insta::assert_snapshot!(sandbox.run(&["plan", "--from", "newest", "--to", "2.6.15"]).stderr, @"error: `newest` is no Milvus version that is known here; write it as 2.5.16, or as 2.5 for a line");
    insta::assert_snapshot!(sandbox.run(&["plan", "--to", "2.6.15", "--for", "redis.yaml"]).stderr, @"error: `redis.yaml` declares no Milvus release that can be read; name a file that does");
    // What could not be read is no file without a release.
    sandbox.write("latin.yaml", b"# milvus\nimage: {all: {tag: v2.5.16}}\nextra: \xe9\n").write("large.yaml", format!("# milvus {}", "#".repeat(10 << 20)));
    for (file, why) in [("latin.yaml", "not valid UTF-8"), ("large.yaml", "more than the limit")] {
        for arguments in [&["plan", "--to", "2.6.15", "--for", file][..], &["values", file]] {
            let outcome = sandbox.run(arguments);
            assert!(outcome.code == 2 && outcome.stderr.contains(why), "{}", outcome.shown());
        }
    }
    assert_eq!(sandbox.run(&["plan", "--to", "2.6.15"]).code, 2);
    assert_eq!(sandbox.run(&["plan", "--to", "2.6.15", "--for", "redis.yaml", "--format", "json"]).code, 2);
}

#[test]
fn versions_that_nobody_published_are_not_taken_without_a_word() {
    let sandbox = Sandbox::new();
    sandbox.write("milvus.yaml", helm_release("5.0.19"));
    let refused = |arguments: &[&str]| {
        let outcome = sandbox.run(arguments);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{}", outcome.shown());
        outcome.stderr
    };
    let warned = |arguments: &[&str]| {
        let outcome = sandbox.run(arguments);
        assert!(outcome.code != 2 && !outcome.stdout.is_empty(), "{}", outcome.shown());
        outcome.stderr
    };
    insta::assert_snapshot!(refused(&["plan", "--from", "9.9.9", "--to", "2.6.15"]), @"error: `9.9.9` is no Milvus version that is known here; the nearest known is 3.0.0; write it as 2.5.16, or as 2.5 for a line");
    insta::assert_snapshot!(refused(&["plan", "--from", "2.5.10", "--to", "2.7.1"]), @"error: `2.7.1` is no Milvus version that is known here; the nearest known are 2.6.20 and 3.0.0; write it as 2.5.16, or as 2.5 for a line");
    insta::assert_snapshot!(refused(&["plan", "--from", "2.5.10", "--to", "2.6.15", "--chart", "4.1.99"]), @"error: --chart 4.1.99: no chart 4.1.99 is known (`milvus-lint catalogue list` prints all); nearest published: 4.1.36 and 4.2.0");
    insta::assert_snapshot!(refused(&["check", "milvus.yaml", "--before", "9.9.9"]), @"error: --before 9.9.9: no chart 9.9.9 is known (`milvus-lint catalogue list` prints all); nearest published: 5.0.19");
    insta::assert_snapshot!(refused(&["check", "milvus.yaml", "--before", "v2.5.22"]), @"error: --before v2.5.22: no chart installs Milvus 2.5.22 by default; give the chart version that runs, and the values with its tag in a second --before");
    insta::assert_snapshot!(refused(&["values", "--chart", "5.0.18"]), @"error: the default values of chart 5.0.18 are not known; nearest published: 5.0.17 and 5.0.19 (`milvus-lint catalogue list` prints all)");
    insta::assert_snapshot!(warned(&["plan", "--from", "2.5.18", "--to", "2.6.15"]), @"warning: --from 2.5.18: Milvus 2.5.18 is not known here (nearest known of its line: 2.5.16 and 2.5.22), so it is judged by its number alone; look whether the image `milvusdb/milvus:v2.5.18` exists");
    insta::assert_snapshot!(warned(&["values", "--chart", "4.2.50"]), @"warning: the values printed are those of a chart that cannot be had: chart 4.2.50 was never published, so no repository has it; nearest published: 4.2.49 and 4.2.51");
    insta::assert_snapshot!(warned(&["check", "milvus.yaml", "--before", "4.2.46"]), @"warning: --before 4.2.46: chart 4.2.46 was published and taken back; nearest published: 4.2.45 and 4.2.47");
    // Their numbers are known although no chart carries them by default.
    assert_eq!(warned(&["plan", "--from", "2.5.22", "--to", "2.6.20"]), "");
}

#[test]
fn hops_are_shown_as_edits_that_lead_from_one_to_the_next() {
    let sandbox = Sandbox::new();
    sandbox.write("milvus.yaml", helm_release("4.2.48").replace("    cluster:\n", "    image: {all: {tag: v2.5.11}} # pinned\n    cluster:\n"));
    let hops = diffs(&sandbox.run(&["plan", "--to", "2.6.15", "--for", "milvus.yaml", "--format", "json"]));
    insta::assert_snapshot!(hops.join("\n"), @r"
    --- a/milvus.yaml
    +++ b/milvus.yaml
    @@ -4,15 +4,26 @@
       name: vectors
       namespace: prod
     spec:
    +  timeout: 30m
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

    --- a/milvus.yaml
    +++ b/milvus.yaml
    @@ -8,11 +8,15 @@
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
    @@ -23,7 +27,7 @@
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
    for hop in &hops {
        sandbox.write("hop.patch", hop);
        sandbox.git("", &["apply", "hop.patch"]);
    }
    let values = sandbox.run(&["values", "milvus.yaml", "--format", "json"]).json();
    assert_eq!((hops.len(), &values["image"]["all"]["tag"], &values["streaming"]["enabled"]), (2, &"v2.6.15".into(), &true.into()));
}

/// The edits of a plan, in order.
fn diffs(outcome: &Outcome) -> Vec<String> {
    assert_eq!(outcome.code, 0, "{}", outcome.shown());
    let plan = outcome.json();
    let actions = plan["hops"].as_array().unwrap().iter().flat_map(|hop| hop["actions"].as_array().unwrap());
    actions.filter_map(|action| action["diff"].as_str()).map(str::to_owned).collect()
}

/// The words of the upgrade of a plan with one hop.
fn upgrade(outcome: &Outcome) -> String {
    let plan = outcome.json();
    let actions = plan["hops"][0]["actions"].as_array().unwrap();
    actions.iter().find(|action| action["kind"] == "helm-upgrade").unwrap()["text"].as_str().unwrap().to_owned()
}

/// The hops of a plan in short: version, chart, downtime, way back, and what is set or done besides.
fn told(arguments: &[&str]) -> String {
    let outcome = Sandbox::new().run(&[&["plan", "--format", "json"], arguments].concat());
    let plan = outcome.json();
    if let Some(reason) = plan["refused"]["reason"].as_str() {
        return format!("{} refused by {}: {reason}", outcome.code, plan["refused"]["rule"].as_str().unwrap());
    }
    let hop = |hop: &serde_json::Value| {
        let actions = hop["actions"].as_array().unwrap();
        let asked: Vec<&str> =
            actions.iter().map(|action| action["kind"].as_str().unwrap()).filter(|kind| !["check", "verify", "helm-upgrade"].contains(kind)).collect();
        let set: Vec<String> = actions.iter().flat_map(|action| action["values"].as_object().unwrap()).map(|(path, value)| format!("{path}={value}")).collect();
        let door = if hop["one_way_door"] == true { ", one-way door" } else { "" };
        format!("{} on {}: {}{door}, {asked:?}\n  {}", hop["milvus"], hop["chart"], hop["downtime"], set.join(" ")).replace('"', "")
    };
    plan["hops"].as_array().unwrap().iter().map(hop).collect::<Vec<_>>().join("\n")
}

#[test]
fn well_known_paths_are_these() {
    insta::assert_snapshot!(told(&["--from", "2.0.2", "--to", "2.6.15"]), @r"
    2.1.4 on 3.2.18: restart, [acknowledge, acknowledge]
      image.all.tag=v2.1.4
    2.2.16 on 4.0.34: migration, one-way door, [backup, acknowledge, migrate, acknowledge]
      image.all.tag=v2.2.16
    2.5.22 on 4.2.58: partial, []
      dataCoordinator.enabled=false image.all.tag=v2.5.22 indexCoordinator.enabled=false mixCoordinator.enabled=true pulsar.enabled=true pulsarv3.enabled=false queryCoordinator.enabled=false rootCoordinator.enabled=false
    2.6.15 on 5.0.19: partial, one-way door, [backup, backup, acknowledge, acknowledge]
      image.all.tag=v2.6.15 indexNode.enabled=false streaming.enabled=true
    ");
    insta::assert_snapshot!(told(&["--from", "2.1.4", "--to", "2.6.15"]), @r"
    2.2.16 on 4.0.34: migration, one-way door, [backup, acknowledge, migrate, acknowledge]
      image.all.tag=v2.2.16
    2.5.22 on 4.2.58: partial, []
      dataCoordinator.enabled=false image.all.tag=v2.5.22 indexCoordinator.enabled=false mixCoordinator.enabled=true pulsar.enabled=true pulsarv3.enabled=false queryCoordinator.enabled=false rootCoordinator.enabled=false
    2.6.15 on 5.0.19: partial, one-way door, [backup, backup, acknowledge, acknowledge]
      image.all.tag=v2.6.15 indexNode.enabled=false streaming.enabled=true
    ");
    insta::assert_snapshot!(told(&["--from", "2.2.2", "--to", "2.6.15"]), @r"
    2.2.16 on 4.0.34: restart, [acknowledge, acknowledge]
      image.all.tag=v2.2.16
    2.5.22 on 4.2.58: partial, []
      dataCoordinator.enabled=false image.all.tag=v2.5.22 indexCoordinator.enabled=false mixCoordinator.enabled=true pulsar.enabled=true pulsarv3.enabled=false queryCoordinator.enabled=false rootCoordinator.enabled=false
    2.6.15 on 5.0.19: partial, one-way door, [backup, backup, acknowledge, acknowledge]
      image.all.tag=v2.6.15 indexNode.enabled=false streaming.enabled=true
    ");
    insta::assert_snapshot!(told(&["--from", "2.2.9", "--to", "2.6.15"]), @r"
    2.2.16 on 4.0.34: partial, [acknowledge, acknowledge]
      image.all.tag=v2.2.16
    2.5.22 on 4.2.58: partial, []
      dataCoordinator.enabled=false image.all.tag=v2.5.22 indexCoordinator.enabled=false mixCoordinator.enabled=true pulsar.enabled=true pulsarv3.enabled=false queryCoordinator.enabled=false rootCoordinator.enabled=false
    2.6.15 on 5.0.19: partial, one-way door, [backup, backup, acknowledge, acknowledge]
      image.all.tag=v2.6.15 indexNode.enabled=false streaming.enabled=true
    ");
    insta::assert_snapshot!(told(&["--from", "2.3.11", "--to", "2.6.15"]), @r"
    2.5.22 on 4.2.58: partial, []
      dataCoordinator.enabled=false image.all.tag=v2.5.22 indexCoordinator.enabled=false mixCoordinator.enabled=true pulsar.enabled=true pulsarv3.enabled=false queryCoordinator.enabled=false rootCoordinator.enabled=false
    2.6.15 on 5.0.19: partial, one-way door, [backup, backup, acknowledge, acknowledge]
      image.all.tag=v2.6.15 indexNode.enabled=false streaming.enabled=true
    ");
    insta::assert_snapshot!(told(&["--from", "2.4.16", "--to", "2.6.15"]), @r"
    2.5.22 on 4.2.58: partial, []
      dataCoordinator.enabled=false image.all.tag=v2.5.22 indexCoordinator.enabled=false mixCoordinator.enabled=true pulsar.enabled=true pulsarv3.enabled=false queryCoordinator.enabled=false rootCoordinator.enabled=false
    2.6.15 on 5.0.19: partial, one-way door, [backup, backup, acknowledge, acknowledge]
      image.all.tag=v2.6.15 indexNode.enabled=false streaming.enabled=true
    ");
    insta::assert_snapshot!(told(&["--from", "2.5.10", "--to", "2.6.15", "--topology", "separate-coordinators"]), @r"
    2.5.22 on 4.2.58: partial, []
      dataCoordinator.enabled=false image.all.tag=v2.5.22 indexCoordinator.enabled=false mixCoordinator.enabled=true queryCoordinator.enabled=false rootCoordinator.enabled=false
    2.6.15 on 5.0.19: partial, one-way door, [backup, backup, acknowledge, acknowledge]
      image.all.tag=v2.6.15 indexNode.enabled=false streaming.enabled=true
    ");
    insta::assert_snapshot!(told(&["--from", "2.5.16", "--to", "2.6.15", "--topology", "standalone"]), @r"
    2.6.15 on 5.0.19: restart, one-way door, [backup, backup, acknowledge, acknowledge]
      image.all.tag=v2.6.15 standalone.messageQueue=rocksmq
    ");
    insta::assert_snapshot!(told(&["--from", "2.5.16", "--to", "2.6.15", "--topology", "separate-coordinators"]), @r"
    2.5.22 on 4.2.58: partial, []
      dataCoordinator.enabled=false image.all.tag=v2.5.22 indexCoordinator.enabled=false mixCoordinator.enabled=true queryCoordinator.enabled=false rootCoordinator.enabled=false
    2.6.15 on 5.0.19: partial, one-way door, [backup, backup, acknowledge, acknowledge]
      image.all.tag=v2.6.15 indexNode.enabled=false streaming.enabled=true
    ");
    insta::assert_snapshot!(told(&["--from", "2.6.0-rc1", "--to", "2.6.15"]), @"1 refused by MV107: The hop from Milvus 2.6.0-rc1 to 2.6.15 on chart 5.0.19 cannot be made: Milvus 2.6.0-rc1 is a candidate from which no upgrade is supported. Set up a new release and copy the data, or follow the repair described in milvus-io/milvus#43538 with a backup at hand.");
    insta::assert_snapshot!(told(&["--from", "2.6.15", "--to", "3.0"]), @r"
    2.6.20 on 5.0.22: partial, []
      image.all.tag=v2.6.20
    3.0.0 on 5.0.22: partial, one-way door, [backup, acknowledge]
      image.all.tag=v3.0.0
    ");
}

#[test]
fn a_command_is_edited_by_its_flags() {
    let sandbox = Sandbox::new();
    sandbox.write("up.sh", "helm upgrade milvus zilliztech/milvus -n vec --version 4.2.58 --reset-then-reuse-values \\\n  --set image.all.tag=v2.5.16 --set cluster.enabled=false\n");
    let outcome = sandbox.run(&["plan", "--to", "2.6.15", "--for", "up.sh", "--format", "json"]);
    insta::assert_snapshot!(diffs(&outcome).concat(), @r"
    --- a/up.sh
    +++ b/up.sh
    @@ -1,2 +1,2 @@
    -helm upgrade milvus zilliztech/milvus -n vec --version 4.2.58 --reset-then-reuse-values \
    +helm upgrade milvus zilliztech/milvus -n vec --version 5.0.19 --set pulsarv3.enabled=false --set standalone.messageQueue=rocksmq --reset-then-reuse-values \
    -  --set image.all.tag=v2.5.16 --set cluster.enabled=false
    +  --set image.all.tag=v2.6.15 --set cluster.enabled=false
    ");
}

#[test]
fn another_file_with_a_release_of_the_same_name_does_not_confuse_the_edit() {
    let sandbox = Sandbox::new();
    sandbox.git("", &["init", "-q"]);
    sandbox.write("a.yaml", helm_release("4.2.20")).write("b.yaml", helm_release("4.2.58"));
    let hops = diffs(&sandbox.run(&["plan", "--to", "2.6.20", "--for", "b.yaml", "--format", "json"]));
    assert!(hops.len() == 1 && hops[0].contains("+++ b/b.yaml") && hops[0].contains("+      version: 5.0.19"), "{hops:?}");
}

#[test]
fn warnings_of_the_release_s_own_become_steps_and_only_what_no_step_mends_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "prod.yaml",
        "cluster: {enabled: true}\nqueryNod: {replicas: 3}\nkafka: {enabled: true, image: {repository: bitnami/kafka}}\npulsar: {enabled: false}\nqueryCoordinator:\n  nodeSelector: {pool: vectors}\n  resources: {limits: {memory: 4Gi}}\n",
    );
    let outcome = sandbox.run(&["plan", "--from", "2.3.11", "--to", "2.6.20", "--values", "prod.yaml", "--format", "json"]);
    assert_eq!(outcome.code, 0, "{}", outcome.shown());
    let plan = outcome.json();
    let actions = plan["hops"][0]["actions"].as_array().unwrap();
    let prepare: Vec<&str> = actions.iter().filter(|action| action["kind"] == "prepare").map(|action| action["text"].as_str().unwrap()).collect();
    insta::assert_snapshot!(prepare.join("\n"), @r#"
    Settings of the separate coordinators have no effect once only the mix coordinator runs. The values of this hop move them: `queryCoordinator.nodeSelector` to `mixCoordinator.nodeSelector` ({"pool":"vectors"}).
    Decide what the mix coordinator gets, and write it into the values of this hop: `mixCoordinator.resources` (`queryCoordinator.resources` was {"limits":{"memory":"4Gi"}}). It does the work of all four, so give it at least the sum of their resources; the settings in the former place have no effect any more and are taken away.
    By hand, with this hop or before it (it is so today already): `queryNod` has no effect: no version of the chart reads it. Remove `queryNod`, or write it where the chart reads it. `milvus-lint values` prints what is in force. [MV602]
    "#);
    let values = &actions.iter().find(|action| action["kind"] == "helm-upgrade").unwrap()["values"];
    assert_eq!(values["mixCoordinator.nodeSelector"], serde_json::json!({"pool": "vectors"}));
    assert_eq!(
        (values.get("queryCoordinator.nodeSelector"), &values["kafka.image.repository"]),
        (Some(&serde_json::Value::Null), &"bitnamilegacy/kafka".into())
    );

    sandbox.write("mysql.yaml", "cluster: {enabled: true}\nexternalMysql: {enabled: true}\n");
    let outcome = sandbox.run(&["plan", "--from", "2.2.9", "--to", "2.5", "--values", "mysql.yaml", "--format", "json"]);
    insta::assert_snapshot!(outcome.json()["refused"]["reason"].as_str().unwrap(), @"The hop from Milvus 2.2.9 to 2.2.16 on chart 4.0.34 cannot be made: MySQL is set up for the metadata, which Milvus from 2.2.15 or 2.3.2 on and charts from 4.1.8 on do not use. Stay on a chart below 4.1.8 with Milvus 2.3.1 or earlier, or copy the data into a release with etcd.");
}

#[test]
fn what_no_edit_reaches_is_left_to_the_hand() {
    let sandbox = Sandbox::new();
    sandbox.git("", &["init", "-q"]);
    sandbox.write("prod.yaml", "cluster:\n  enabled: false\n");
    // The flag wins over the file, and what it holds is one of several values.
    sandbox.write(
        "up.sh",
        "helm upgrade milvus zilliztech/milvus -n vec --version 4.2.58 --reset-then-reuse-values -f prod.yaml --set image.all.tag=v2.5.16,proxy.replicas=2\n",
    );
    let outcome = sandbox.run(&["plan", "--to", "2.6.15", "--for", "up.sh", "--format", "json"]);
    assert!(diffs(&outcome).is_empty(), "{}", outcome.shown());
    insta::assert_snapshot!(upgrade(&outcome), @r"
    Edit the file to chart 5.0.19 with Milvus 2.6.15, and run it (or the pipeline that holds it). Where it waits and fails, read the pods before you run it again.
    The values beside the tag:
    - `pulsarv3.enabled`: installs no Pulsar beside the queue in use.
    - `standalone.messageQueue`: keeps RocksMQ, which holds the data; chart 5 would make it Woodpecker.
    No edit of the file leads there for certain. Write it by hand, then plan again from the file as it is then:
    - chart version: 5.0.19
    - image.all.tag: v2.6.15
    - pulsarv3.enabled: false
    - standalone.messageQueue: rocksmq
    ");
}

#[test]
fn a_version_that_the_file_does_not_say_is_told() {
    let sandbox = Sandbox::new();
    sandbox.write("milvus.yaml", helm_release("4.2.48").replace("    cluster:\n", "    image: {all: {tag: v2.5.10}}\n    cluster:\n"));
    let other = sandbox.run(&["plan", "--from", "2.4.16", "--to", "2.6.15", "--for", "milvus.yaml"]);
    assert!(other.code == 0 && other.stderr.contains("--from 2.4.16: milvus.yaml says 2.5.10"), "{}", other.stderr);
    let same = sandbox.run(&["plan", "--from", "2.5.10", "--to", "2.6.15", "--for", "milvus.yaml"]);
    assert_eq!((same.code, &*same.stderr), (0, ""));
}

#[test]
fn values_that_are_not_in_sight_are_named() {
    let sandbox = Sandbox::new();
    let more = "  valuesFrom: [{kind: ConfigMap, name: more}, {kind: Secret, name: hidden}]\n  values:\n";
    sandbox.write("milvus.yaml", helm_release("4.2.20").replace("  values:\n", more));
    let run = |format: &str| sandbox.run(&["plan", "--to", "2.6.15", "--from", "2.4.16", "--for", "milvus.yaml", "--format", format]);
    let json = run("json").json();
    let told: Vec<&str> = json["not_checked"].as_array().unwrap().iter().map(|gap| gap["reason"].as_str().unwrap().split(':').next().unwrap()).collect();
    assert_eq!(told, ["ConfigMap more", "Secret hidden"]);
    for format in ["text", "markdown"] {
        let text = run(format).stdout;
        assert!(text.contains("- ConfigMap more: it is not in this tree") && text.contains("- Secret hidden"), "{text}");
    }
    let commands = json["hops"].to_string();
    assert!(commands.contains("etcdctl snapshot save") && commands.contains("Where the metadata lies is not seen"), "{commands}");
}

#[test]
fn the_pods_are_found_by_the_name_that_the_chart_gives_them() {
    let sandbox = Sandbox::new();
    sandbox.write("over.yaml", helm_release("4.2.48").replace("  values:\n", "  values:\n    nameOverride: vec\n"));
    let commands = |path: &str| sandbox.run(&["plan", "--to", "2.6.15", "--for", path, "--format", "json"]).json()["hops"].to_string();
    let over = commands("over.yaml");
    assert!(over.contains("app.kubernetes.io/name=vec,") && !over.contains("name=milvus,"), "{over}");
    let alias = "dependencies:\n  - {name: milvus, alias: vectors, version: 4.2.58, repository: https://zilliztech.github.io/milvus-helm/}\n";
    sandbox.write("app/Chart.yaml", format!("apiVersion: v2\nname: app\nversion: 1.0.0\n{alias}"));
    sandbox.write("app/values.yaml", "vectors:\n  cluster: {enabled: true}\n");
    let alias = commands("app/Chart.yaml");
    assert!(alias.contains("app.kubernetes.io/name=vectors,") && !alias.contains("name=milvus,"), "{alias}");
}

#[test]
fn a_release_that_its_file_does_not_name_can_be_named() {
    let sandbox = Sandbox::new();
    sandbox.write("Chart.yaml", "apiVersion: v2\nname: search\nversion: 0.1.0\ndependencies:\n- {name: milvus, version: 4.2.58, repository: 'https://zilliztech.github.io/milvus-helm'}\n");
    let run = |more: &[&str]| sandbox.run(&[&["plan", "--to", "2.6.15", "--for", "Chart.yaml"], more].concat());
    let named = run(&["--release", "search", "--namespace", "vectors"]);
    assert_eq!((named.code, named.stderr.as_str()), (0, ""), "{}", named.shown());
    assert!(named.stdout.contains("search") && !named.stdout.contains("my-release"), "{}", named.shown());
    insta::assert_snapshot!(run(&["-n", "vectors"]).stderr, @"warning: Chart.yaml does not name the release: the commands say `my-release` in namespace `vectors`; name it with --release and --namespace");
}

#[test]
fn a_plan_switches_off_only_what_would_be_on() {
    let sandbox = Sandbox::new();
    let values = "cluster: {enabled: true}\nkafka: {enabled: true}\npulsarv3: {enabled: false}\n";
    sandbox.write("values.yaml", values);
    let text = sandbox.run(&["plan", "--from", "2.5.22", "--to", "2.6.15", "--chart", "4.2.58", "--values", "values.yaml"]).stdout;
    assert!(!text.contains("pulsar.enabled") && !text.contains("pulsarv3.enabled"), "{text}");
    sandbox.write("values.yaml", values.replace("pulsarv3: {enabled: false}\n", ""));
    let text = sandbox.run(&["plan", "--from", "2.5.22", "--to", "2.6.15", "--chart", "4.2.58", "--values", "values.yaml"]).stdout;
    assert!(!text.contains("pulsar.enabled") && text.contains("pulsarv3.enabled=false"), "{text}");
}
