//! Values in Secrets of the tree: judged as any others, and never printed.

use super::Sandbox;

const REPOSITORY: &str = "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: zilliztech, namespace: db}\nspec: {url: 'https://zilliztech.github.io/milvus-helm'}\n";

fn release(values_from: &str) -> String {
    format!(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: milvus, namespace: db}}\nspec:\n  chart: {{spec: {{chart: milvus, version: 4.2.58, sourceRef: {{kind: HelmRepository, name: zilliztech}}}}}}\n  valuesFrom: [{values_from}]\n"
    )
}

/// Values that nobody may see, of which this word is a part.
const PLANTED: &str = "hunter";

fn values(planted: &str) -> String {
    format!(
        "minio: {{enabled: false}}\netcd: {{enabled: false}}\nexternalEtcd:\n  enabled: true\n  endpoints: [\"etcd-{planted}:2379\"]\nexternalS3:\n  enabled: true\n  bucketName: bucket-{planted}\n  host: s3.{planted}\n  secretKey: {planted}\nextraConfigFiles:\n  user.yaml: |\n    etcd:\n      rootPath: root-{planted}\nimage: {{all: {{tag: tag-{planted}}}}}\n"
    )
}

fn base64(text: &str) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let of_three = |bytes: &[u8]| {
        let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(bytes.get(at).copied().unwrap_or_default()));
        let digit = |at: u32| char::from(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize]);
        (0..4).map(|at| if at <= u32::try_from(bytes.len()).unwrap() { digit(at) } else { '=' }).collect::<String>()
    };
    text.as_bytes().chunks(3).map(of_three).collect()
}

fn secret(data: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: milvus-values, namespace: db}}\n{data}")
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}

type File = (&'static str, String);

/// The ways in which a Secret of the tree holds values.
fn trees(planted: &str) -> Vec<(&'static str, Vec<File>)> {
    let whole = || ("apps/release.yaml", release("{kind: Secret, name: milvus-values}"));
    let kustomization =
        |generator: &str| ("apps/kustomization.yaml", format!("resources: [release.yaml]\nsecretGenerator:\n- {{name: milvus-values, {generator}}}\n"));
    let json = format!(
        r#"{{"externalEtcd":{{"enabled":true,"endpoints":["etcd-{planted}:2379"]}},"etcd":{{"enabled":false}},"externalS3":{{"enabled":true,"host":"{planted}"}}}}"#
    );
    vec![
        ("a block", vec![whole(), ("apps/secret.yaml", secret(&format!("stringData:\n  values.yaml: |\n{}", indented(&values(planted)))))]),
        ("base64", vec![whole(), ("apps/secret.yaml", secret(&format!("data:\n  values.yaml: {}\n", base64(&values(planted)))))]),
        ("a generator's file", vec![whole(), kustomization("files: [values.yaml=v.yaml]"), ("apps/v.yaml", values(planted))]),
        ("a generator's text", vec![whole(), kustomization(&format!("literals: ['values.yaml={json}']"))]),
        (
            "single paths",
            vec![
                (
                    "apps/release.yaml",
                    release(
                        "{kind: Secret, name: milvus-values, valuesKey: host, targetPath: externalS3.host}, {kind: Secret, name: milvus-values, valuesKey: on, targetPath: externalS3.enabled}",
                    ),
                ),
                ("apps/secret.yaml", secret(&format!("stringData: {{host: s3.{planted}, on: 'true'}}\n"))),
            ],
        ),
    ]
}

#[test]
fn what_a_secret_changes_is_judged_and_none_of_its_values_is_printed() {
    for ((way, before), (_, after)) in trees("hunter-one").into_iter().zip(trees("hunter-two")) {
        let sandbox = Sandbox::new();
        for (folder, files) in [("before", before), ("after", after)] {
            sandbox.write(&format!("{folder}/repository.yaml"), REPOSITORY);
            files.iter().for_each(|(file, text)| {
                sandbox.write(&format!("{folder}/{file}"), text);
            });
        }
        let json = sandbox.run_in("after", &["check", "--before", "../before", "--format", "json"], b"").json();
        let rules: Vec<&str> = json["findings"].as_array().unwrap().iter().map(|finding| finding["rule"].as_str().unwrap()).collect();
        assert!(rules.contains(&"MV502"), "{way}: {rules:?}");
        assert!(way == "single paths" || rules.contains(&"MV501"), "{way}: {rules:?}");
        assert_eq!(json["summary"]["not_checked"], 0, "{way}: {json:#}");
        let checks = ["text", "json", "sarif", "github"].map(|format| vec!["check", "--before", "../before", "--format", format]);
        let plan = vec!["plan", "--from", "2.5.16", "--to", "2.6.15", "--for", "apps/release.yaml"];
        for arguments in checks.into_iter().chain([plan, vec!["values", "apps/release.yaml"]]) {
            let shown = sandbox.run_in("after", &arguments, b"").shown();
            let encoded = base64(&values("hunter-two"));
            assert!(shown.contains("exit code 0") || shown.contains("exit code 1"), "{way} {arguments:?}:\n{shown}");
            assert!(!shown.contains(PLANTED) && !shown.contains(&encoded[60..80]), "{way} {arguments:?}:\n{shown}");
        }
    }
}

#[test]
fn credentials_in_addresses_and_of_named_values_are_printed_nowhere() {
    let sandbox = Sandbox::new();
    let archived = REPOSITORY.replace("https://zilliztech.github.io", "https://u:hunter@milvus-io.github.io");
    let text = format!(
        "{archived}---\n{}",
        release("").replace(
            "  valuesFrom: []\n",
            "  values:\n    cluster: {enabled: true}\n    externalKafka: {enabled: true, brokerList: 'u:hunter@k:9092'}\n    extraEnv:\n    - name: A_TOKEN\n      value: hunter\n    extraConfigFiles:\n      user.yaml: |\n        common: {security: {authorizationEnabled: true}}\n        minio: {iamEndpoint: 'https://x/?sig=hunter'}\n"
        )
    );
    let before = sandbox.write("before.yaml", text.replace("k:9092", "j:9092")).write("after.yaml", text);
    let mut rules = String::new();
    for format in ["text", "json", "sarif", "github"] {
        let shown = before.run(&["check", "after.yaml", "--before", "before.yaml", "--format", format]).shown();
        assert!(!shown.contains(PLANTED), "{format}:\n{shown}");
        rules.push_str(&shown);
    }
    assert!(rules.contains("MV103") && rules.contains("MV413"), "{rules}");
    let values = before.run(&["values", "after.yaml", "--only-set"]).stdout;
    assert!(!values.contains(PLANTED) && values.contains("authorizationEnabled: true"), "{values}");
}

#[test]
fn a_finding_points_into_the_secret_and_names_it() {
    let sandbox = Sandbox::new();
    let file = |size: &str| {
        secret(&format!("stringData:\n  values.yaml: |\n    externalEtcd: {{}}\n    etcd:\n      persistence:\n        size: {size} # was 20Gi\n"))
    };
    for (folder, size) in [("before", "10Gi"), ("after", "30Gi")] {
        sandbox.write(&format!("{folder}/repository.yaml"), REPOSITORY);
        sandbox.write(&format!("{folder}/release.yaml"), release("{kind: Secret, name: milvus-values}"));
        sandbox.write(&format!("{folder}/secret.yaml"), file(size));
    }
    let shown = sandbox.run_in("after", &["check", "--before", "../before"], b"").stdout;
    insta::assert_snapshot!(shown.split("\n\n").find(|finding| finding.contains("MV508")).unwrap(), @r"
    error[MV508]: `etcd.persistence.size` changes from a value from Secret milvus-values, key values.yaml to another one, which Kubernetes refuses on existing storage.
     --> secret.yaml:9:15
      |
    9 |         size: **** * *** ****
      |               ^^^^ `etcd.persistence.size`
      |
      = release: db/milvus (Flux), chart 4.2.58, Milvus 2.5.16
      = help: Put it back as it was. To grow a StatefulSet's disks, edit the claims by hand, delete the StatefulSet with `--cascade=orphan`, then upgrade with the new size.
    ");
}

#[test]
fn what_is_encrypted_stays_unknown_and_is_told() {
    let encrypted = "stringData:\n  values.yaml: |\n    externalS3: {enabled: true, host: 'ENC[AES256_GCM,data:abc]'}\n";
    let table = [
        (secret(&format!("{encrypted}sops: {{mac: x}}\n")), 1),
        ("apiVersion: bitnami.com/v1alpha1\nkind: SealedSecret\nmetadata: {name: milvus-values, namespace: db}\n".to_owned(), 1),
        // Only a part of it is.
        (secret(encrypted), 1),
    ];
    for (text, not_checked) in table {
        let sandbox = Sandbox::new();
        sandbox.write("repository.yaml", REPOSITORY).write("release.yaml", release("{kind: Secret, name: milvus-values}")).write("secret.yaml", &text);
        let outcome = sandbox.run(&["check", "--format", "json"]);
        assert_eq!(outcome.json()["summary"]["not_checked"], not_checked, "{text}\n{}", outcome.shown());
        assert!(!outcome.stdout.contains("AES256"), "{}", outcome.shown());
    }
}

#[test]
fn the_diff_of_a_plan_prints_neither_secrets_nor_credentials() {
    let chart = "helmCharts:\n- {name: milvus, repo: 'https://zilliztech.github.io/milvus-helm', version: 4.2.58, releaseName: milvus, namespace: db, valuesInline: {image: {all: {tag: v2.5.16}}}}\n";
    let generator = "secretGenerator:\n- name: s3\n  literals: [key=hunter1, \"dsn=hunter2\"]\n";
    let flux = |values: &str| format!("{REPOSITORY}---\n{}", release("").replace("  valuesFrom: []\n", &format!("  values:\n{values}")));
    let table = [
        ("kustomization.yaml", format!("kind: Kustomization\n{generator}{chart}"), false),
        ("kustomization.yaml", format!("kind: Kustomization\n{chart}{generator}"), false),
        (
            "r.yaml",
            flux(
                "    externalS3:\n      secretKey: hunterone\n      rootPassword:\n        hunterfive\n    minio: {enabled: true}\n    image: {all: {tag: v2.5.16}}\n---\nkind: Secret\napiVersion: v1\nmetadata: {name: hunter}\ndata:\n  pw: hunterseven\n",
            ),
            false,
        ),
        ("r.yaml", flux("    externalS3: {secretKey: hunterone}\n    image: {all: {tag: v2.5.16}, x: {secretKey: hunter}}\n"), true),
        (
            "deploy.sh",
            "export MINIO_PASSWORD=hunterone\nexport AWS_KEY=huntertwo\nhelm upgrade --install milvus zilliztech/milvus -n db --version 4.2.58 --set image.all.tag=v2.5.16 --set minio.rootPassword=hunterfive --set-string externalS3.secretKey=\"hunter six\"\nkubectl create secret generic s --from-literal=key=hunterthree\ncurl -u admin:hunterfour https://x\n".to_owned(),
            true,
        ),
    ];
    for (file, text, is_masked) in table {
        for format in ["text", "markdown", "json"] {
            let sandbox = Sandbox::new();
            sandbox.write(file, &text);
            let shown = sandbox.run(&["plan", "--to", "2.6.15", "--for", file, "--format", format]).shown();
            assert!(shown.contains("+++ b/"), "{file} {format}:\n{shown}");
            assert!(!shown.contains(PLANTED), "{file} {format}:\n{shown}");
            assert_eq!(shown.contains("by hand") && shown.contains("(`***`)"), is_masked, "{file} {format}:\n{shown}");
        }
    }
}

#[test]
fn no_excerpt_shows_a_secret_that_cannot_be_read() {
    for text in [
        secret("stringData:\n  values.yaml: |\n    externalS3: {host: h, secret: x}\n    # milvus\n  dsn: @hunter2\n"),
        secret("stringData:\n  values.yaml: |\n    minio:\n      accessKey: x\n   secret: hunter3\n  dsn: %hunter4\n"),
        secret("stringData:\n  note: milvus\n  password: \"hunter2\n  values.yaml: |\n    x: 1\n"),
        secret("stringData:\n  note: milvus\n  values.yaml: *hunter2\n"),
    ] {
        let sandbox = Sandbox::new();
        sandbox.write("milvus.yaml", &text);
        let shown = sandbox.run(&["check"]).shown();
        assert!(shown.contains("MV901"), "{text}\n{shown}");
        assert!(!shown.contains(PLANTED), "{text}\n{shown}");
    }
}

#[test]
fn a_plan_repeats_no_name_and_no_tag_of_a_secret() {
    for (tag, arguments) in [("v2.5.16", vec![]), ("acme-hunter", vec![]), ("acme-hunter", vec!["--from", "2.5.16"])] {
        let sandbox = Sandbox::new();
        let values =
            format!("stringData:\n  values.yaml: |\n    nameOverride: acme-hunter\n    fullnameOverride: full-hunter\n    image: {{all: {{tag: {tag}}}}}\n");
        sandbox.write("repository.yaml", REPOSITORY).write("release.yaml", release("{kind: Secret, name: milvus-values}"));
        sandbox.write("secret.yaml", secret(&values));
        let shown = sandbox.run(&[vec!["plan", "--to", "2.6.15", "--for", "release.yaml"], arguments].concat()).shown();
        assert!(shown.contains("Secret milvus-values, key values.yaml"), "{shown}");
        assert!(!shown.contains(PLANTED), "{shown}");
    }
}
