//! The chart, linted and rendered by real Helm 3 and 4.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use milvus_guard::model::release::component_names;
use milvus_guard_webhook::admission::Gate;
use milvus_guard_webhook::cluster::Kind;
use milvus_guard_webhook::server::registration::entries;
use serde::Deserialize as _;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Helm 3 and Helm 4, built once; nothing where Go is missing, which is said aloud (and fails in CI).
fn helms(wanted_by: &str) -> Option<[PathBuf; 2]> {
    let output = Command::new(root().join(".ci/controlplane")).output().unwrap();
    if output.status.code() == Some(3) {
        assert!(std::env::var_os("CI").is_none(), "{wanted_by} needs Go, and CI has to have it");
        let _ = writeln!(std::io::stderr(), "\n*** SKIPPED: {wanted_by}: Go is missing, so there is no real Helm. Install Go 1.26 or later. ***\n");
        return None;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from).join("controlplane");
    Some([folder.join("helm3"), folder.join("helm4")])
}

fn helm(program: &Path, command: &[&str], arguments: &[&str]) -> Output {
    helm_on("milvus-guard", program, command, arguments)
}

fn helm_on(chart: &str, program: &Path, command: &[&str], arguments: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    let mut helm = Command::new(program);
    helm.args(command).arg(root().join("charts").join(chart)).args(["--namespace", "guard", "--kube-version", "1.36.0"]).args(arguments);
    helm.env("HOME", home.path()).env_remove("KUBECONFIG").output().unwrap()
}

/// Objects by kind and name.
fn render(program: &Path, arguments: &[&str]) -> BTreeMap<String, Value> {
    render_of("milvus-guard", program, arguments)
}

fn render_of(chart: &str, program: &Path, arguments: &[&str]) -> BTreeMap<String, Value> {
    let output = helm_on(chart, program, &["template", "g"], arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let objects = serde_yaml::Deserializer::from_str(&text).map(|document| Value::deserialize(document).unwrap()).filter(|object| !object.is_null());
    let key = |object: &Value| format!("{}/{}", object["kind"].as_str().unwrap(), object["metadata"]["name"].as_str().unwrap());
    objects.map(|object| (key(&object), object)).collect()
}

/// Values that turn each part on or around.
const VARIANTS: &[&[&str]] = &[
    &[],
    &["--api-versions", "monitoring.coreos.com/v1/ServiceMonitor", "--api-versions", "monitoring.coreos.com/v1/PrometheusRule"],
    &["--set", "certificates.source=certManager"],
    &["--set", "certificates.source=certManager", "--set", "certificates.certManager.issuerRef.name=corp", "--set", "serviceMonitor.enabled=true"],
    &["--set", "certificates.source=secret,certificates.secretName=mine", "--set", "tls.client.secretName=ca,tls.client.names={api}"],
    &["--set", "gates.helmStorage.enabled=false,gates.gitops.enabled=false,gates.workloads.enabled=false,gates.dependencies.enabled=false"],
    &["--set", "rbac.releaseNamespaces={a,b}", "--set", "networkPolicy.apiServerCIDRs={10.0.0.1/32}", "--set", "excludedNamespaces={x}"],
    &["--set", "controller.enabled=false"],
    &["--set", "crds.enabled=false,dashboard.enabled=false,networkPolicy.enabled=false,podDisruptionBudget.enabled=false"],
    &["--set", "namespaceSelector.matchLabels.guard=on", "--set", "imagePullSecrets[0].name=p", "--set", "priorityClassName=system-cluster-critical"],
    &[
        "--set",
        "podLabels.a=b,podAnnotations.c=d,tolerations[0].operator=Exists,nodeSelector.e=f,affinity.nodeAffinity.g=h,extraVolumes[0].name=v,extraVolumeMounts[0].name=v",
    ],
];

#[test]
fn both_helms_lint_and_render_the_same() {
    let Some([three, four]) = helms("the chart's rendering") else { return };
    for program in [&three, &four] {
        let output = helm(program, &["lint", "--strict"], &[]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    for arguments in VARIANTS {
        let (by_three, by_four) = (render(&three, arguments), render(&four, arguments));
        assert_eq!(by_three.keys().collect::<Vec<_>>(), by_four.keys().collect::<Vec<_>>(), "{arguments:?}");
        for (key, object) in &by_three {
            assert_eq!(object, &by_four[key], "{arguments:?} {key}");
        }
    }
}

#[test]
fn the_schema_refuses_what_would_not_work() {
    let Some(helms) = helms("the chart's schema") else { return };
    let wrong = [
        "replicas=none",
        "gates.workloads.failurePolicy=Maybe",
        "gates.workload.enabled=false",
        "certificates.source=magic",
        "certificates.overlap=1 hour",
        "tls.minVersion=1",
        "image.digest=latest",
        "log.level=loud",
        "milvusImages={}",
        "replicas=0",
        "limits.budget=5s",
        "limits.budget=5000ms",
        "limits.budget=2m",
        "gates.own.timeoutSeconds=4",
    ];
    for program in &helms {
        for value in wrong {
            let output = helm(program, &["template", "g"], &["--set", value]);
            assert!(!output.status.success(), "{value} is taken by {}", program.display());
        }
        let fits = helm(program, &["template", "g"], &["--set", "limits.budget=900ms,gates.own.timeoutSeconds=1,gates.gitops.timeoutSeconds=2"]);
        assert!(fits.status.success(), "{}", String::from_utf8_lossy(&fits.stderr));
        let output = helm(program, &["template", "g"], &["--set", "certificates.source=secret"]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("secretName"), "the name of the Secret is asked for");
    }
}

#[test]
fn the_registration_is_made_without_webhooks_and_filled_by_a_replica() {
    let Some([three, _]) = helms("the chart's registration") else { return };
    let objects = render(&three, &[]);
    for kind in ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"] {
        assert!(objects[&format!("{kind}/g-milvus-guard")].get("webhooks").is_none());
    }
    let text = objects["ConfigMap/g-milvus-guard-registration"]["data"]["registration.yaml"].as_str().unwrap();
    assert_eq!(entries(text, None).unwrap().len(), 2);
    let webhooks: Vec<Value> =
        serde_yaml::Deserializer::from_str(text).flat_map(|document| Value::deserialize(document).unwrap()["webhooks"].as_array().unwrap().clone()).collect();
    for gate in Gate::ALL {
        assert!(webhooks.iter().any(|webhook| webhook["clientConfig"]["service"]["path"] == gate.path()), "{gate:?}");
    }
    for webhook in &webhooks {
        let name = &webhook["name"];
        assert!(webhook["timeoutSeconds"].as_u64().unwrap() <= 10, "{name}");
        let excluded = &webhook["namespaceSelector"]["matchExpressions"][0];
        assert!(excluded["values"].as_array().unwrap().contains(&Value::from("guard")), "{name} leaves out its own namespace");
        let users = webhook["matchConditions"][0]["expression"].as_str().unwrap();
        // The controller writes what it decided; but what it asks of Flux is judged and completed as what Flux writes, and what it wants to be judged again is told by a condition of its own.
        let condition = webhook["matchConditions"].as_array().unwrap().iter().find(|condition| condition["name"] == "not-what-the-controller-decided");
        let asks_again = condition.is_some_and(|condition| {
            let expression = condition["expression"].as_str().unwrap();
            expression.contains("!= 'system:serviceaccount:guard:g-milvus-guard-controller' ||") && expression.contains("/judged-for']")
        });
        assert_eq!(asks_again, name == "workloads.guard.milvus-guard.dev", "{name}");
        let is_judged = asks_again || name == "helmreleases.guard.milvus-guard.dev";
        assert_eq!(users.contains("\"system:serviceaccount:guard:g-milvus-guard-controller\""), !is_judged, "{name}");
        assert!(users.contains("system:serviceaccount:guard:g-milvus-guard\"") && users.contains("generic-garbage-collector"), "{name}");
        // The gate itself looks at the owners before a write, at what the selector tells, and at holds.
        if let Some(condition) = webhook["matchConditions"].as_array().unwrap().iter().find(|condition| condition["name"] == "not-the-operators") {
            let expression = condition["expression"].as_str().unwrap();
            assert!(
                expression.contains("[oldObject == null ? object : oldObject]")
                    && expression.contains("/hold'].orValue('') != ''")
                    && expression.contains("matchLabels.component.orValue('') != ''"),
                "{name}: {expression}"
            );
            assert_eq!(
                name, "workloads.guard.milvus-guard.dev",
                "stores and configurations have no selector of the operator's: whose they are, the gate tells"
            );
        }
        let operations = webhook["rules"][0]["operations"].as_array().unwrap();
        assert!(!operations.contains(&Value::from("DELETE")), "{name}: deletes are never judged");
    }
}

#[test]
fn whatever_selects_its_pods_by_a_component_is_asked_about_whatever_chart_and_image_are_called() {
    let Some([three, _]) = helms("the chart's registration") else { return };
    let objects = render(&three, &[]);
    let text = objects["ConfigMap/g-milvus-guard-registration"]["data"]["registration.yaml"].as_str().unwrap();
    let documents = serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap());
    let webhooks: Vec<Value> = documents.flat_map(|document| document["webhooks"].as_array().unwrap().clone()).collect();
    let is_milvus = |name: &str| {
        let webhook = webhooks.iter().find(|webhook| webhook["name"] == format!("{name}.guard.milvus-guard.dev")).unwrap();
        let conditions = webhook["matchConditions"].as_array().unwrap();
        conditions.iter().find(|condition| condition["name"] == "is-milvus").unwrap()["expression"].as_str().unwrap().to_owned()
    };
    let names: Vec<&str> = component_names().collect();
    let selected = format!(
        "o.?spec.selector.matchLabels.component.orValue('') in {} && 'app.kubernetes.io/instance' in o.spec.selector.matchLabels ||",
        serde_json::to_string(&names).unwrap()
    );
    assert!(is_milvus("workloads").contains(&selected), "{}", is_milvus("workloads"));
    assert!(is_milvus("scale").contains(&format!("component=({})(,|$)", names.join("|"))), "{}", is_milvus("scale"));
}

#[test]
fn all_arguments_are_taken_by_the_program() {
    let Some([three, _]) = helms("the chart's arguments") else { return };
    for arguments in VARIANTS.iter().filter(|arguments| arguments.is_empty() || arguments[1].starts_with("certificates.source")) {
        let objects = render(&three, arguments);
        let container = &objects["Deployment/g-milvus-guard"]["spec"]["template"]["spec"]["containers"][0];
        let mut given: Vec<String> = container["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap().to_owned()).collect();
        // Stops after reading the arguments: there is no API server.
        given.push("--log-level=error".into());
        let given: Vec<String> = given.into_iter().filter(|argument| argument != "--log-level=info").collect();
        let controller = &objects["Deployment/g-milvus-guard-controller"]["spec"]["template"]["spec"]["containers"][0]["args"];
        let controller: Vec<&str> = controller.as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect();
        let output = Command::new(env!("CARGO_BIN_EXE_milvus-guard")).args(&controller).env_clear().env("KUBECONFIG", "/nonexistent").output().unwrap();
        assert!(String::from_utf8_lossy(&output.stderr).contains("no way to the API server"), "{controller:?}");
        let hook = &objects["Job/g-milvus-guard-cleanup"]["spec"]["template"]["spec"]["containers"][0]["args"];
        let hook: Vec<&str> = hook.as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect();
        let output = Command::new(env!("CARGO_BIN_EXE_milvus-guard")).args(&hook).env_clear().env("KUBECONFIG", "/nonexistent").output().unwrap();
        assert!(String::from_utf8_lossy(&output.stderr).contains("no way to the API server"), "{hook:?}");
        let output = Command::new(env!("CARGO_BIN_EXE_milvus-guard")).args(&given).env_clear().env("KUBECONFIG", "/nonexistent").output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("no way to the API server"), "{given:?}: {error}");
    }
}

#[test]
fn the_replicas_may_watch_what_they_cache_and_nothing_more() {
    let Some([three, _]) = helms("the chart's rights") else { return };
    let role = &render(&three, &[])["ClusterRole/g-milvus-guard"]["rules"];
    let mut granted = Vec::new();
    for rule in role.as_array().unwrap().iter().filter(|rule| rule["verbs"].as_array().unwrap().contains(&Value::from("watch"))) {
        for resource in rule["resources"].as_array().unwrap() {
            granted.push(format!("{}/{}", rule["apiGroups"][0].as_str().unwrap(), resource.as_str().unwrap()));
        }
    }
    let cached = Kind::ALL.map(|kind| {
        let (version, name) = kind.api();
        let plural = name.strip_suffix('y').map_or_else(|| format!("{name}s"), |stem| format!("{stem}ies"));
        format!("{}/{}", version.rsplit_once('/').map_or("", |(group, _)| group), plural.to_lowercase())
    });
    granted.sort_unstable();
    let mut cached = cached.to_vec();
    cached.sort_unstable();
    cached.dedup();
    assert_eq!(granted, cached);
}

#[test]
fn pods_are_confined_and_rights_are_few() {
    let Some([three, _]) = helms("the chart's security") else { return };
    let objects = render(&three, &[]);
    let pod = &objects["Deployment/g-milvus-guard"]["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true);
    for (key, object) in objects.iter().filter(|(key, _)| key.starts_with("ClusterRole/") || key.starts_with("Role/")) {
        for rule in object["rules"].as_array().unwrap() {
            let verbs: Vec<&str> = rule["verbs"].as_array().unwrap().iter().map(|verb| verb.as_str().unwrap()).collect();
            let touches_secrets = rule["resources"].as_array().unwrap().contains(&Value::from("secrets"));
            // Leaving deletes Secrets of carried values, which it cannot read.
            let may = |verb: &str| verb == if key.ends_with("-cleanup") { "delete" } else { "get" } || rule.get("resourceNames").is_some();
            assert!(!touches_secrets || verbs.iter().all(|verb| may(verb)), "{key} {verbs:?}");
            // What an upgrade removes, and the fence of a migration, is deleted by the controller; `-declare` is for people, and no pod of ours.
            let removed = [serde_json::json!(["deployments"]), serde_json::json!(["validatingadmissionpolicies", "validatingadmissionpolicybindings"])];
            let deletes = key.ends_with("-cleanup") || key.ends_with("-declare") || (key.ends_with("-controller") && removed.contains(&rule["resources"]));
            assert!(!verbs.contains(&"*") && (deletes || !verbs.contains(&"delete")), "{key} {verbs:?}");
        }
    }
    assert!(!render(&three, &["--no-hooks"]).keys().any(|key| key.contains("cleanup")), "raw manifests never run the cleanup");
    // Secrets are written in the namespaces that are named for it, and by the controller alone.
    assert!(!objects.keys().any(|key| key.ends_with("-carried-values")));
    let carrying = render(&three, &["--set", "rbac.carriedValuesNamespaces={a}"]);
    let role = &carrying["Role/g-milvus-guard-controller-carried-values"];
    assert_eq!((&role["metadata"]["namespace"], &role["rules"][0]["resources"]), (&Value::from("a"), &serde_json::json!(["secrets"])));
    assert_eq!(carrying["RoleBinding/g-milvus-guard-controller-carried-values"]["subjects"][0]["name"], "g-milvus-guard-controller");
    let narrow = render(&three, &["--set", "rbac.releaseNamespaces={a,b}"]);
    assert!(!narrow.contains_key("ClusterRoleBinding/g-milvus-guard-releases"));
    assert!(narrow.contains_key("RoleBinding/g-milvus-guard-releases"));
}

#[test]
fn the_chart_has_the_definitions_that_the_program_prints() {
    let output = Command::new(env!("CARGO_BIN_EXE_milvus-guard")).arg("crd").output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let file = root().join("charts/milvus-guard/files/crds.yaml");
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert_eq!(kept, printed, "run: milvus-guard crd > charts/milvus-guard/files/crds.yaml");
    let Some([three, _]) = helms("the chart's definitions") else { return };
    let objects = render(&three, &[]);
    for document in serde_yaml::Deserializer::from_str(&printed) {
        let definition = Value::deserialize(document).unwrap();
        let rendered = &objects[&format!("CustomResourceDefinition/{}", definition["metadata"]["name"].as_str().unwrap())];
        assert_eq!(rendered, &definition);
        assert_eq!(rendered["metadata"]["annotations"]["helm.sh/resource-policy"], "keep", "an uninstall leaves receipts where they are");
    }
}

const HOOK: &str = "milvus-migration-hook";

#[test]
fn the_migration_hook_is_rendered_the_same_by_both_helms_and_taken_by_the_program() {
    let Some([three, four]) = helms("the migration hook") else { return };
    let all = "target=2.2.16,source=2.1.4,release=other,milvusImage=corp:5000/milvus:v2.2.16,migration.image=corp/meta-migration:x,migration.storageClass=fast";
    let more = "migration.etcdEndpoints={a:2379,b:2379},migration.etcdCredentialsSecret=etcd,imagePullSecrets[0].name=p,nodeSelector.a=b,tolerations[0].operator=Exists,hooks={pre-upgrade}";
    let digest = format!("image.digest=sha256:{}", "0".repeat(64));
    for sets in [vec!["target=2.2.16"], vec![all, more, digest.as_str()]] {
        let arguments: Vec<&str> = sets.iter().flat_map(|set| ["--set", set]).collect();
        for program in [&three, &four] {
            let output = helm_on(HOOK, program, &["lint", "--strict"], &arguments);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
        let (by_three, by_four) = (render_of(HOOK, &three, &arguments), render_of(HOOK, &four, &arguments));
        assert_eq!(by_three, by_four, "{sets:?}");
        for (name, object) in &by_three {
            let annotations = &object["metadata"]["annotations"];
            assert!(annotations["helm.sh/hook"].as_str().unwrap().ends_with("pre-upgrade"), "{name} is no part of the release");
            assert_eq!(annotations["helm.sh/hook-delete-policy"], "before-hook-creation,hook-succeeded", "{name}");
        }
        let pod = &by_three["Job/g-milvus-migration"]["spec"]["template"];
        assert!(pod["metadata"]["labels"].get("component").is_none(), "the fence lets it pass");
        assert_eq!(pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"], true);
        let given: Vec<&str> = pod["spec"]["containers"][0]["args"].as_array().unwrap().iter().map(|argument| argument.as_str().unwrap()).collect();
        let output = Command::new(env!("CARGO_BIN_EXE_milvus-guard")).args(&given).env_clear().env("KUBECONFIG", "/nonexistent").output().unwrap();
        assert!(String::from_utf8_lossy(&output.stderr).contains("no way to the API server"), "{given:?}: {output:?}");
        // Nothing may be listed of Secrets, and nothing is deleted in the cluster but the fence of this release.
        let rules = |name: &str| by_three[name]["rules"].as_array().unwrap().clone();
        assert!(rules("Role/g-milvus-migration").iter().filter(|rule| rule["resources"][0] == "secrets").all(|rule| rule["resourceNames"][0] == "etcd"));
        let deletes: Vec<Value> =
            rules("ClusterRole/guard:g-milvus-migration").into_iter().filter(|rule| rule["verbs"].to_string().contains("delete")).collect();
        let fence = format!("milvus-guard-fence.guard.{}", if sets.len() > 1 { "other" } else { "g" });
        assert_eq!((deletes.len(), &deletes[0]["resourceNames"]), (1, &serde_json::json!([fence])));
    }
    let wrong = [
        "target=",
        "target=v2.2.16",
        "target=2.3.1",
        "target=2.2.0-rc1",
        "target=2.2.16,source=2.0.2",
        "target=2.2.16,hooks={post-upgrade}",
        "target=2.2.16,migration.image=milvusdb/meta-migration:v2.2.0",
        "target=2.2.16,milvusImage=milvusdb/milvus:v2.3.1",
        "target=2.2.16,migrate.image=x",
    ];
    for program in [&three, &four] {
        for value in wrong {
            assert!(!helm_on(HOOK, program, &["template", "g"], &["--set", value]).status.success(), "{value} is taken");
        }
    }
}
