//! Gate 3 before a real API server: what is admitted is held and stays held, nothing that runs is touched, and what needs no hold rolls as it always did.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use milvus_guard_e2e::commands::{Ended, HELMS, Program};
use milvus_guard_e2e::kubelet::PodStart;
use milvus_guard_e2e::sandbox::{Sandbox, wait};
use milvus_guard_e2e::users::User;
use serde_json::{Value, json};

use crate::gates::{BLOCKED, CLUSTER, Guarded, SMALL};

/// What of a configuration tells where data lies: nothing else in it makes another version lose or misread data.
fn places(start: &PodStart) -> Value {
    let mut all = start.configuration.values().flat_map(|files| ["milvus.yaml", "default.yaml"].iter().filter_map(|file| files.get(*file)));
    let text = all.next().unwrap_or_else(|| panic!("{} started without a configuration", start.pod));
    let config: Value = serde_yaml::from_str(text).unwrap();
    json!([config["etcd"], config["minio"]["address"], config["minio"]["bucketName"], config["minio"]["rootPath"], config["mq"], config["messageQueue"]])
}

/// Kills every pod of the namespace: each comes back with the image it had, with a whole configuration that names the same places.
pub(crate) async fn killed_pods_come_back_as_they_were(sandbox: &Sandbox) {
    let key = |start: &PodStart| (start.component.clone(), start.images.clone());
    let (before, pods) = (sandbox.starts(), sandbox.pods().await);
    for pod in &pods {
        sandbox.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default()).await.unwrap();
    }
    let again = wait("all pods again", async || Some(sandbox.starts()).filter(|starts| starts.len() >= before.len() + pods.len())).await;
    for start in &again[before.len()..] {
        let first = before.iter().find(|first| key(first) == key(start)).unwrap_or_else(|| panic!("{} came back with {:?}", start.pod, start.images));
        assert_eq!(start.missing, Vec::<String>::new(), "{} cannot start", start.pod);
        if start.images.keys().any(|name| name == "standalone" || name == "querynode") {
            assert_eq!(places(start), places(first), "{}", start.pod);
        }
    }
    sandbox.wait_until_ready().await;
}

/// No workload and no configuration of the namespace carries anything of ours.
async fn nothing_is_held(sandbox: &Sandbox) {
    let held = async || {
        let workloads =
            sandbox.objects().await.into_iter().filter(|(name, _)| ["Deployment/", "StatefulSet/", "ConfigMap/"].iter().any(|kind| name.starts_with(kind)));
        workloads.filter(|(_, object)| is_marked(object)).map(|(name, _)| name).collect::<Vec<_>>()
    };
    assert_eq!(held().await, Vec::<String>::new());
}

fn is_marked(object: &str) -> bool {
    let object: Value = serde_json::from_str(object).unwrap();
    let ours =
        |pointer: &str| object.pointer(pointer).and_then(Value::as_object).is_some_and(|all| all.keys().any(|key| key.starts_with("guard.milvus-guard.dev/")));
    let braked = object.pointer("/spec/updateStrategy/rollingUpdate/partition").and_then(Value::as_u64).is_some_and(|partition| partition > 0);
    ours("/metadata/annotations") || ours("/metadata/labels") || object["spec"]["paused"] == json!(true) || braked
}

#[tokio::test]
async fn an_admitted_upgrade_is_held_and_stays_held() {
    for helm in HELMS {
        let Some(guarded) = Guarded::new(&format!("held-{}", helm.file())).await else { return };
        let sandbox = &guarded.sandbox;
        guarded.installed(helm, "m", "4.2.20", &[]).await;
        let starts = sandbox.starts().len();
        let name = "m-milvus-standalone";
        let (force, atomic): (&[&str], &[&str]) = match helm {
            Program::Helm3 => (&["--force", "--wait"], &["--atomic", "--timeout=60s"]),
            _ => (&["--force-replace", "--server-side=false", "--wait"], &["--rollback-on-failure", "--wait=legacy", "--timeout=60s"]),
        };
        let held = guarded.helm(helm, "upgrade", "m", "4.2.58", atomic).await;
        assert!(held.status.success() && held.stderr.contains("is held"), "{held}");
        assert!(guarded.is_held(name).await);
        // Seen by whoever lists workloads: what is held, and which change it waits for.
        let list = ["get", "deployments,statefulsets", "-l", "guard.milvus-guard.dev/held", "-L", "guard.milvus-guard.dev/held"];
        let listed = sandbox.kubectl(list).ok().await.stdout;
        for part in [name, "m-minio", "m-etcd"] {
            let line = listed.lines().find(|line| line.contains(&format!("/{part} "))).unwrap_or_else(|| panic!("{part} is not listed as held: {listed}"));
            assert!(line.split_whitespace().last().is_some_and(|id| id.len() >= 16), "{line}");
        }
        // Whatever is done to it.
        let forced = guarded.helm(helm, "upgrade", "m", "4.2.58", force).await;
        assert!(forced.status.success(), "{forced}");
        assert!(guarded.is_held(name).await);
        sandbox.kubectl(["rollout", "resume", &format!("deployment/{name}")]).run().await;
        assert!(guarded.is_held(name).await);
        let mut live: Value = sandbox.kubectl(["get", "deployment", name, "-o", "json"]).ok().await.json();
        live["spec"]["paused"] = json!(false);
        for ours in ["annotations", "labels"] {
            live["metadata"][ours].as_object_mut().unwrap().retain(|key, _| !key.starts_with("guard."));
        }
        sandbox.kubectl(["replace", "-f", "-"]).input(live.to_string()).ok().await;
        assert!(guarded.is_held(name).await);
        assert_eq!(sandbox.kubectl(list).ok().await.stdout.lines().filter(|line| line.contains("standalone")).count(), 1);
        // On top of it, what is illegal from what runs.
        let before = guarded.objects().await;
        let on_top = guarded.helm(helm, "upgrade", "m", "5.0.19", &[]).await;
        guarded.refuses("MV205", &["2.4.16", "2.6.15"], &before, on_top).await;
        // No pod of the release was replaced, and those that are killed come back as they were.
        assert_eq!(sandbox.starts().len(), starts);
        killed_pods_come_back_as_they_were(sandbox).await;
        // Back to what runs: nothing is held.
        let back = sandbox.helm(helm, ["rollback", "m", "1"]).run().await;
        assert!(back.status.success(), "{back}");
        assert!(!guarded.is_held(name).await);
        sandbox.wait_until_rolled_out().await;
        nothing_is_held(sandbox).await;
        assert_eq!(sandbox.images_of("standalone"), ["milvusdb/milvus:v2.4.16"]);
    }
}

#[tokio::test]
async fn kubectl_is_held_for_an_image_and_not_for_a_restart() {
    let Some(guarded) = Guarded::new("kubectl").await else { return };
    let sandbox = &guarded.sandbox;
    guarded.installed(Program::Helm3, "m", "4.2.20", &[]).await;
    let name = "m-milvus-standalone";
    let set = async |image: &str| {
        let image = format!("standalone=milvusdb/milvus:{image}");
        sandbox.kubectl(["set", "image", &format!("deployment/{name}"), &image]).ok().await
    };
    let ended = set("v2.5.16").await;
    assert!(ended.stderr.contains("is held"), "{ended}");
    assert!(guarded.is_held(name).await);
    sandbox.kubectl(["scale", &format!("deployment/{name}"), "--replicas=1"]).ok().await;
    set("v2.6.15").await;
    let blocked = guarded.deployment(name).await.annotations().get(BLOCKED).cloned();
    assert!(blocked.is_some_and(|blocked| blocked.starts_with("MV205")));
    set("v2.4.16").await;
    assert!(!guarded.is_held(name).await);
    sandbox.kubectl(["rollout", "restart", &format!("deployment/{name}")]).ok().await;
    assert!(!guarded.is_held(name).await);
    sandbox.wait_until_rolled_out().await;
    assert_eq!(sandbox.images_of("standalone"), ["milvusdb/milvus:v2.4.16"]);
}

/// What a namespace came to: of each workload its specification, its annotations and its ReplicaSets, and of each component the starts of its pods.
async fn account(sandbox: &Sandbox) -> Value {
    let listed = sandbox.kubectl(["get", "deployments,statefulsets,replicasets", "-o", "json"]).ok().await.stdout;
    let listed: Value = serde_json::from_str(&listed.replace(&sandbox.namespace, "NAMESPACE")).unwrap();
    let mut objects: Vec<Value> = listed["items"].as_array().unwrap().iter().map(without_chance).collect();
    objects.sort_by_key(|object| object.to_string());
    let mut starts: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for start in sandbox.starts() {
        starts.entry(start.component.clone()).or_default().push(json!([start.images, start.configuration, start.missing]));
    }
    json!([objects, starts])
}

/// An object without what differs from run to run: identities, times, and names made from them.
fn without_chance(object: &Value) -> Value {
    let mut object = object.clone();
    let is_set = object["kind"] == "ReplicaSet";
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.retain(|key, _| matches!(key.as_str(), "annotations" | "labels" | "generation") || (key == "name" && !is_set));
    if is_set {
        // Counts how often its replicas were written, which depends on the moment.
        metadata.remove("generation");
    }
    object["status"] = json!(object["status"]["replicas"]);
    forget(&mut object);
    object
}

fn forget(value: &mut Value) {
    match value {
        Value::Object(table) => {
            table.retain(|key, _| !matches!(key.as_str(), "kubectl.kubernetes.io/restartedAt" | "pod-template-hash" | "uid"));
            table.values_mut().for_each(forget);
        }
        Value::Array(items) => items.iter_mut().for_each(forget),
        _ => {}
    }
}

#[tokio::test]
async fn restarts_and_values_roll_exactly_as_without_the_guard() {
    let Some(guarded) = Guarded::new("rolls").await else { return };
    let plain = Sandbox::on(guarded.sandbox.plane, "rolls-without").await;
    let planted = guarded.sandbox.folder().join("planted.yaml");
    let helm = |sandbox: &Sandbox, verb: &str, version: &str, more: &str| {
        let (chart, values) = (sandbox.chart(version), format!("{CLUSTER}{more}"));
        sandbox.helm(Program::Helm4, [verb, "m", chart.to_str().unwrap(), "-f", planted.to_str().unwrap(), "--set", &values, "--wait"])
    };
    let live = async |sandbox: &Sandbox| {
        helm(sandbox, "install", "4.2.20", "").ok().await;
        sandbox.wait_until_rolled_out().await;
        helm(sandbox, "upgrade", "4.2.20", ",log.level=debug,queryNode.resources.limits.cpu=2").ok().await;
        sandbox.wait_until_rolled_out().await;
        helm(sandbox, "upgrade", "4.2.20", ",log.level=debug,queryNode.replicas=2,etcd.resources.limits.cpu=1").ok().await;
        sandbox.wait_until_rolled_out().await;
        sandbox.kubectl(["rollout", "restart", "deployment/m-milvus-querynode", "statefulset/m-etcd"]).ok().await;
        sandbox.wait_until_rolled_out().await;
        account(sandbox).await
    };
    let (with, without) = tokio::join!(live(&guarded.sandbox), live(&plain));
    assert_eq!(with, without);

    // The same cluster in an upgrade: all of it is held, and nothing is started.
    let sandbox = &guarded.sandbox;
    let held = helm(sandbox, "upgrade", "4.2.58", ",log.level=debug,queryNode.replicas=2,etcd.resources.limits.cpu=1").ok().await;
    for part in ["m-milvus-datanode", "m-milvus-indexnode", "m-milvus-mixcoord", "m-milvus-proxy", "m-milvus-querynode", "m-minio", "m-etcd"] {
        assert!(held.stderr.contains(&format!("{part} is held")), "{part}: {held}");
    }
    killed_pods_come_back_as_they_were(sandbox).await;
    assert!(!sandbox.starts().iter().any(|start| start.images.values().any(|image| image.contains("v2.5"))));
}

/// Versions of all objects of a namespace: equal as long as nothing is written.
pub(crate) async fn versions(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let all = sandbox.objects().await.into_iter();
    all.map(|(name, object)| (name, serde_json::from_str::<Value>(&object).unwrap()["metadata"]["resourceVersion"].to_string())).collect()
}

/// The same once nothing has been written for two seconds.
pub(crate) async fn versions_at_rest(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let mut known = versions(sandbox).await;
    let mut since = Instant::now();
    wait("that nobody writes any more", async || {
        let now = versions(sandbox).await;
        if now != known {
            (known, since) = (now, Instant::now());
        }
        (since.elapsed() > Duration::from_secs(2)).then(|| known.clone())
    })
    .await
}

/// The names of objects that were made, written or deleted between two looks.
pub(crate) fn changed(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> BTreeSet<String> {
    let names = before.keys().chain(after.keys());
    names.filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

#[tokio::test]
async fn rendered_manifests_are_held_however_they_are_applied_and_applying_again_changes_nothing() {
    let Some(guarded) = Guarded::new("rendered").await else { return };
    let sandbox = &guarded.sandbox;
    let account = sandbox.plane.service_account(&sandbox.namespace, "argocd").await;
    sandbox.plane.bind(&account, "admin", &sandbox.namespace).await;
    let (before, after) = (render(&guarded, "4.2.20", "").await, render(&guarded, "4.2.58", "").await);
    let apply = async |text: &str, more: &[&str]| apply(sandbox, &account, text, more).await;
    apply(&before, &[]).await;
    sandbox.wait_until_rolled_out().await;
    let name = "m-milvus-standalone";
    for more in [&[] as &[&str], &["--server-side", "--force-conflicts", "--field-manager=argocd-controller"]] {
        apply(&after, more).await;
        assert!(guarded.is_held(name).await, "{more:?}");
        let held = versions(sandbox).await;
        for _second in 0..4 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            apply(&after, more).await;
        }
        assert!(guarded.is_held(name).await, "{more:?}");
        assert_eq!(versions(sandbox).await, held, "{more:?}");
        let mut diff = vec!["diff", "-f", "-"];
        diff.extend(more);
        sandbox.command_as(&account, Program::Kubectl, diff).input(after.clone()).ok().await;
    }
    // On top of it, what is illegal from what runs, which would move the queue besides: held as such, and a pod that is killed knows nothing of it.
    let illegal = render(&guarded, "5.0.19", "").await;
    apply(&illegal, &[]).await;
    let blocked = async || guarded.deployment(name).await.annotations().get(BLOCKED).cloned();
    assert!(blocked().await.is_some_and(|blocked| blocked.starts_with("MV205")));
    let held = versions(sandbox).await;
    apply(&illegal, &[]).await;
    assert_eq!(versions(sandbox).await, held);
    killed_pods_come_back_as_they_were(sandbox).await;
    assert_eq!(sandbox.images_of("standalone"), ["milvusdb/milvus:v2.4.16"]);
    apply(&before, &[]).await;
    assert!(!guarded.is_held(name).await);
    nothing_is_held(sandbox).await;
}

#[tokio::test]
async fn what_is_scaled_left_behind_or_made_anew_gets_past_no_hold() {
    let Some(guarded) = Guarded::new("past").await else { return };
    let sandbox = &guarded.sandbox;
    guarded.installed(Program::Helm3, "m", "4.2.20", &[]).await;
    let (name, starts) = ("m-milvus-standalone", sandbox.starts().len());
    let since = |component: &str| {
        let of = |start: &&PodStart| start.pod.starts_with(component);
        sandbox.starts().get(starts..).unwrap_or_default().iter().filter(of).map(|start| start.image().to_owned()).collect::<Vec<_>>()
    };
    // A store that is updated as its pods are deleted: neither a pod that is killed nor one that is new begins with what waits.
    let etcd = async || -> Value { sandbox.kubectl(["get", "statefulset", "m-etcd", "-o", "json"]).ok().await.json() };
    sandbox
        .kubectl(["patch", "statefulset", "m-etcd", "--type=merge", "-p", r#"{"spec":{"updateStrategy":{"type":"OnDelete","rollingUpdate":null}}}"#])
        .ok()
        .await;
    let serves = etcd().await["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
    let held = sandbox.kubectl(["set", "image", "statefulset/m-etcd", "*=etcd:other"]).ok().await;
    assert!(held.stderr.contains("m-etcd is held"), "{held}");
    // Nor does another label let it go, written over the hold or before the change.
    let tried = async |labels: &Value| {
        let containers = json!([{"name": "etcd", "image": "etcd:other"}]);
        let spec = json!({"updateStrategy": {"type": "OnDelete", "rollingUpdate": null}, "template": {"spec": {"containers": containers}}});
        let patch = json!({"metadata": {"labels": labels}, "spec": spec}).to_string();
        let tried = sandbox.kubectl(["patch", "statefulset", "m-etcd", "--dry-run=server", "-o", "json", "-p", &patch]).ok().await.json();
        assert_eq!(tried["spec"]["updateStrategy"]["rollingUpdate"]["partition"], 1_000_000, "{patch}: {tried:#}");
    };
    let relabelled = json!({"app.kubernetes.io/name": "x", "app.kubernetes.io/instance": null});
    tried(&relabelled).await;
    sandbox.kubectl(["scale", "statefulset/m-etcd", "--replicas=2"]).ok().await;
    sandbox.kubectl(["delete", "pod", "m-etcd-0"]).ok().await;
    wait("both pods", async || (since("m-etcd").len() >= 2).then_some(())).await;
    assert_eq!(since("m-etcd"), [serves.as_str(), serves.as_str()]);
    sandbox.kubectl(["set", "image", "statefulset/m-etcd", &format!("*={serves}")]).ok().await;
    assert_eq!(etcd().await["spec"]["updateStrategy"], json!({"type": "OnDelete"}));
    sandbox.kubectl(["scale", "statefulset/m-etcd", "--replicas=1"]).ok().await;
    sandbox.kubectl(["patch", "statefulset", "m-etcd", "-p", &json!({"metadata": {"labels": relabelled}}).to_string()]).ok().await;
    tried(&json!({})).await;

    // Pods without their Deployment, and then no pods.
    let illegal = render(&guarded, "5.0.19", "").await;
    let blocked = async || guarded.deployment(name).await.annotations().get(BLOCKED).cloned().unwrap_or_default();
    sandbox.kubectl(["delete", "deployment", name, "--cascade=orphan"]).ok().await;
    apply(sandbox, &sandbox.deployer, &illegal, &[]).await;
    assert!(guarded.is_held(name).await && blocked().await.starts_with("MV205"), "{}", blocked().await);
    let before = render(&guarded, "4.2.20", "").await;
    apply(sandbox, &sandbox.deployer, &before, &[]).await;
    assert!(!guarded.is_held(name).await);
    sandbox.kubectl(["scale", "deployment", name, "--replicas=0"]).ok().await;
    wait("no pod of it", async || sandbox.pods().await.iter().all(|pod| !pod.name_any().starts_with(name)).then_some(())).await;
    let refused = guarded.helm(Program::Helm4, "upgrade", "m", "5.0.19", &[]).await;
    assert!(refused.stderr.contains("MV205: "), "{refused}");
    apply(sandbox, &sandbox.deployer, &illegal, &[]).await;
    assert!(guarded.is_held(name).await && blocked().await.starts_with("MV205"), "{}", blocked().await);
    apply(sandbox, &sandbox.deployer, &before, &[]).await;
    sandbox.wait_until_rolled_out().await;

    // A configuration that is deleted and made anew with other data, and a workload that takes it up.
    let elsewhere = |text: &str| text.replace("rootPath: file", "rootPath: other");
    let map =
        |text: &str| text.split("\n---").find(|document| document.contains("kind: ConfigMap") && document.contains("name: \"m-milvus\"\n")).unwrap().to_owned();
    let anew = elsewhere(&map(&before));
    assert_ne!(anew, map(&before));
    let made = sandbox.kubectl(["replace", "--force", "-f", "-"]).input(anew).ok().await;
    assert!(made.stderr.contains("made anew while pods serve"), "{made}");
    let annotate = r#"{"spec":{"template":{"metadata":{"annotations":{"checksum/config":"other"}}}}}"#;
    sandbox.kubectl(["patch", "deployment", name, "--type=merge", "-p", annotate]).ok().await;
    assert!(guarded.is_held(name).await && blocked().await.starts_with("MV902"), "{}", blocked().await);
    assert!(since(name).iter().all(|image| image == "milvusdb/milvus:v2.4.16"), "{:?}", since(name));
}

/// What `helm template` prints for release `m` of the sandbox's namespace.
pub(crate) async fn render(guarded: &Guarded, version: &str, more: &str) -> String {
    let sandbox = &guarded.sandbox;
    let (chart, planted) = (sandbox.chart(version), sandbox.folder().join("planted.yaml"));
    let (chart, planted, values) = (chart.to_str().unwrap(), planted.to_str().unwrap(), format!("{SMALL}{more}"));
    sandbox.helm(Program::Helm3, ["template", "m", chart, "--namespace", &sandbox.namespace, "-f", planted, "--set", &values]).ok().await.stdout
}

/// `kubectl apply` as somebody.
pub(crate) async fn apply(sandbox: &Sandbox, user: &User, text: &str, more: &[&str]) -> Ended {
    let mut arguments = vec!["apply", "-n", sandbox.namespace.as_str(), "-f", "-"];
    arguments.extend(more);
    sandbox.command_as(user, Program::Kubectl, arguments).input(text).ok().await
}
