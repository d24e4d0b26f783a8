//! `values`: what Helm would compute.

use super::{Sandbox, helm_release};

/// The lines with one of these texts.
fn lines(text: &str, wanted: &[&str]) -> String {
    text.lines().filter(|line| wanted.iter().any(|word| line.contains(word))).collect::<Vec<_>>().join("\n")
}

#[test]
fn files_and_flags_go_over_the_defaults_with_their_origins() {
    let sandbox = Sandbox::new();
    sandbox.write("prod.yaml", "cluster: {enabled: false}\nminio: null\nproxy:\n  http: null\n").write("tag.txt", "v2.5.22");
    let outcome = sandbox.run(&[
        "values",
        "--chart",
        "4.2.58",
        "-f",
        "prod.yaml",
        "--set",
        "standalone.messageQueue=pulsar",
        "--set-file",
        "image.all.tag=tag.txt",
        "--set-json",
        "a={\"b\":[1,null]}",
        "--set-string",
        "c=1",
        "--set-literal",
        "d=x,y",
        "--origin",
    ]);
    assert_eq!(outcome.code, 0, "{}", outcome.shown());
    insta::assert_snapshot!(lines(&outcome.stdout, &["prod.yaml", "command line", "wait-for"]), @r#"
      b:  # command line
      - 1  # command line
      - null  # command line
    c: "1"  # command line
      enabled: false  # prod.yaml:1:20
    d: x,y  # command line
        tag: v2.5.22  # command line
      messageQueue: pulsar  # command line
    "#);
    assert!(outcome.stdout.contains("  enabled: true  # chart default of 4.2.58\n"));
}

#[test]
fn json_can_tell_origins_too() {
    let sandbox = Sandbox::new();
    sandbox.write("prod.yaml", "image:\n  all:\n    tag: v2.5.22\n");
    let plain = sandbox.run(&["values", "--chart", "4.2.58", "-f", "prod.yaml", "--format", "json"]).json();
    let with_origin = sandbox.run(&["values", "--chart", "4.2.58", "-f", "prod.yaml", "--format", "json", "--origin"]).json();
    assert_eq!(plain, with_origin["values"]);
    assert_eq!(with_origin["origins"]["image.all.tag"], "prod.yaml:3:10");
    assert_eq!(with_origin["origins"]["image.all.repository"], "chart default of 4.2.58");
}

#[test]
fn a_file_with_a_release_gives_chart_and_values() {
    let sandbox = Sandbox::new();
    sandbox.write("milvus.yaml", helm_release("4.2.58"));
    let declared = sandbox.run(&["values", "milvus.yaml"]);
    sandbox.write("values.yaml", "cluster:\n  enabled: true\n");
    let given = sandbox.run(&["values", "--chart", "4.2.58", "-f", "values.yaml"]);
    assert_eq!((declared.code, declared.stdout), (0, given.stdout), "{}", declared.stderr);
}

#[test]
fn one_of_several_releases_is_chosen_by_name() {
    let sandbox = Sandbox::new();
    sandbox.write("two.yaml", format!("{}---\n{}", helm_release("4.2.58"), helm_release("5.0.19").replace("name: vectors", "name: search")));
    insta::assert_snapshot!(sandbox.run(&["values", "two.yaml"]).shown(), @r"
    exit code 2
    --- stdout
    --- stderr
    error: `two.yaml` declares 2 releases; choose one by its name with --release, or name its file:
      vectors in namespace prod (two.yaml:2:7)
      search in namespace prod (two.yaml:27:7)
    ");
    let outcome = sandbox.run(&["values", "two.yaml", "--release", "search", "--origin"]);
    assert!(outcome.stdout.contains("chart default of 5.0.19"), "{}", outcome.shown());
    insta::assert_snapshot!(sandbox.run(&["values", "two.yaml", "--release", "other"]).stderr, @"error: `two.yaml` declares no release `other`");
}

#[test]
fn one_of_several_environments_of_a_helmfile_is_chosen() {
    let sandbox = Sandbox::new();
    let helmfile = "environments:\n  dev: {values: [{version: 4.2.58}]}\n  prod: {values: [{version: 4.2.40}]}\n---\nrepositories:\n- {name: zilliztech, url: 'https://zilliztech.github.io/milvus-helm/'}\nreleases:\n- name: vectors\n  namespace: db\n  chart: zilliztech/milvus\n  version: {{ .Values.version }}\n";
    sandbox.write("helmfile.yaml", helmfile);
    insta::assert_snapshot!(sandbox.run(&["plan", "--for", "helmfile.yaml", "--to", "2.5.22"]).stderr, @r"
    error: `helmfile.yaml` declares 2 releases; choose one by its name with --release and its environment with --environment, or name its file:
      vectors in namespace db, environment dev (helmfile.yaml:8:9)
      vectors in namespace db, environment prod (helmfile.yaml:8:9)
    ");
    for (environment, chart) in [("dev", "4.2.58"), ("prod", "4.2.40")] {
        let outcome = sandbox.run(&["values", "helmfile.yaml", "-e", environment, "--origin"]);
        assert!(outcome.stdout.contains(&format!("chart default of {chart}")), "{}", outcome.shown());
        let plan = sandbox.run(&["plan", "--for", "helmfile.yaml", "--environment", environment, "--to", "2.5.22"]);
        assert_eq!(plan.code, 0, "{}", plan.shown());
    }
    insta::assert_snapshot!(sandbox.run(&["values", "helmfile.yaml", "-e", "test"]).stderr, @"error: `helmfile.yaml` declares no release in environment `test`; it knows dev, prod");
}

#[test]
fn mistakes_are_told_with_their_place() {
    let sandbox = Sandbox::new();
    sandbox.write("broken.yaml", "a: [1\nb: 2\n").write("list.yaml", "- a\n").write("redis.yaml", "name: redis\n");
    let messages: Vec<String> = [
        &["values", "--chart", "4.2.58", "-f", "broken.yaml"][..],
        &["values", "--chart", "4.2.58", "-f", "list.yaml"],
        &["values", "--chart", "4.2.58", "-f", "missing.yaml"],
        &["values", "--chart", "4.2.58", "--set", "a[b=1"],
        &["values", "--chart", "4.2.58", "--set", "minio=1"],
        &["values", "--chart", "9.9.9"],
        &["values", "--chart", "newest"],
        &["values", "redis.yaml"],
        &["values"],
    ]
    .into_iter()
    .map(|arguments| {
        let outcome = sandbox.run(arguments);
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{arguments:?}: {}", outcome.shown());
        outcome.stderr.lines().next().unwrap().to_owned()
    })
    .collect();
    insta::assert_snapshot!(messages.join("\n"), @r"
    error: Helm refuses these values: broken.yaml:2:2: illegal placement of ':' indicator
    error: Helm refuses these values: list.yaml:1:1: values are not a table
    error: cannot read `missing.yaml`: no such file or directory
    error: Helm refuses these values: on the command line: an index does not end with ]
    error: Helm refuses these values: `minio`: what stands under the name of a dependency must be a table
    error: the default values of chart 9.9.9 are not known; nearest published: 5.0.19 (`milvus-lint catalogue list` prints all)
    error: `newest` is no chart version; give a chart version such as 4.2.58 with --chart
    error: `redis.yaml` declares no Milvus release that can be read; name a file that does, or give a chart version with --chart
    error: name a file that declares a release, or give a chart version such as 4.2.58 with --chart
    ");
}

#[test]
fn what_helm_fills_in_nowhere_stays_as_it_is_written() {
    let sandbox = Sandbox::new();
    sandbox.write("values.yaml", "a: \"{{ .Release.Name }}\"\nb: $TAG\nc: ${TAG}\n");
    let outcome = sandbox.run(&["values", "--chart", "4.2.58", "-f", "values.yaml", "--format", "json"]);
    let json = outcome.json();
    assert_eq!((&json["a"], &json["b"], &json["c"]), (&"{{ .Release.Name }}".into(), &"$TAG".into(), &"${TAG}".into()));
}

#[test]
fn a_range_is_resolved_and_said() {
    let outcome = Sandbox::new().run(&["values", "--chart", "~4.1.0"]);
    insta::assert_snapshot!(outcome.stderr, @"warning: the range `~4.1.0` is taken as 4.1.36, the newest version in it that is known here");
}

#[test]
fn only_what_is_set_is_printed_when_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.write("prod.yaml", "cluster: {enabled: false}\nattu: null\nextra: {}\nimage:\n  all:\n    tag: v2.5.16\n");
    let all = &["values", "--chart", "4.2.58", "-f", "prod.yaml", "--set", "proxy.replicas=2", "--only-set"];
    insta::assert_snapshot!(sandbox.run(&[all.as_slice(), &["--origin"]].concat()).stdout, @r"
    cluster:
      enabled: false  # prod.yaml:1:20
    extra: {}  # prod.yaml:3:8
    image:
      all:
        tag: v2.5.16  # prod.yaml:6:10
    proxy:
      replicas: 2  # command line
    ");
    let json = sandbox.run(&[all.as_slice(), &["--format", "json", "--origin"]].concat()).json();
    assert_eq!((&json["values"]["proxy"]["replicas"], json["origins"].as_object().unwrap().len()), (&serde_json::json!(2), 4));
    assert_eq!(sandbox.run(&["values", "--chart", "4.2.58", "--only-set"]).stdout, "{}\n");
}

#[test]
fn credentials_are_masked_unless_they_are_asked_for() {
    let sandbox = Sandbox::new();
    sandbox.write(
        "prod.yaml",
        "externalS3: {accessKey: hunter, secretKey: '', bucketName: vectors}\nminio: {existingSecret: s3}\nextraConfigFiles:\n  user.yaml: |\n    minio:\n      secretAccessKey: hunter\n      bucketName: vectors\n",
    );
    let run = |more: &[&str]| sandbox.run(&[&["values", "--chart", "4.2.58", "-f", "prod.yaml"], more].concat()).stdout;
    insta::assert_snapshot!(lines(&run(&[]), &["Key:", "bucketName: vectors", "existingSecret: s3"]), @r#"
      accessKey: "********"
      bucketName: vectors
      secretKey: ""
          secretAccessKey: ******
          bucketName: vectors
      accessKey: minioadmin
      existingSecret: s3
      secretKey: minioadmin
    "#);
    assert!(!run(&["--format", "json", "--set", "a.authParams=hunter"]).contains("hunter"));
    assert_eq!(run(&["--show-secrets"]).matches("hunter").count(), 2);
    let told = |more: &[&str]| sandbox.run(&[&["values", "--chart", "4.2.58", "-f", "prod.yaml"], more].concat()).stderr;
    insta::assert_snapshot!(told(&[]), @"warning: values that look like credentials are masked; --show-secrets prints them");
    assert_eq!(told(&["--show-secrets"]), "");
}
