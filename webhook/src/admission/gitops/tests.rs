use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};

use super::super::fixture::Recipe;
use super::super::guard::Configuration;
use super::super::hold::SERVING_CHART_ANNOTATION;
use super::super::request::{Kind as ObjectKind, User, parse};
use super::super::{Gate, Judge as _};
use super::*;
use crate::api;
use crate::cluster::running::tests::replica_set;
use crate::cluster::{Api, Cached, ReadError, Reads, Snapshot};

fn running(chart: &'static str) -> Snapshot {
    let recipe = Recipe::new(chart, 1, json!({}));
    let mut cluster = Snapshot::default();
    for component in recipe.components() {
        let deployment = recipe.deployment(component);
        cluster.put(replica_set(&deployment, 1, 1));
        cluster.put(deployment);
    }
    cluster.put(json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository", "metadata": {"name": "zilliz", "namespace": "db"}, "spec": {"url": "https://zilliztech.github.io/milvus-helm"}}));
    cluster
}

fn helm_release(version: &str, values: Value) -> Value {
    json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "m", "namespace": "db"},
        "spec": {"interval": "5m", "chart": {"spec": {"chart": "milvus", "version": version, "sourceRef": {"kind": "HelmRepository", "name": "zilliz"}}}, "values": values}})
}

fn application(version: &str, server: &str) -> Value {
    json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "m", "namespace": "argocd"},
        "spec": {"project": "default", "destination": {"server": server, "namespace": "db"},
            "source": {"repoURL": "https://zilliztech.github.io/milvus-helm", "chart": "milvus", "targetRevision": version, "helm": {"values": "cluster:\n  enabled: true\n"}}}})
}

async fn ask(cluster: Snapshot, object: Value, old: Value, dry_run: bool) -> Answer {
    let request = request(object, old, dry_run);
    let cached = Guard::new(Cached::of(&cluster), Configuration::default()).judge(Gate::GitOps, Arc::clone(&request)).await;
    let whole = Guard::new(Arc::new(cluster), Configuration::default()).judge(Gate::GitOps, request).await;
    assert_eq!(cached, whole, "what the caches keep is read as the objects themselves are");
    whole
}

fn request(object: Value, old: Value, dry_run: bool) -> Arc<Request> {
    Arc::new(Request {
        uid: "u".into(),
        kind: ObjectKind { group: String::new(), version: "v1".into(), kind: object["kind"].as_str().unwrap().into() },
        sub_resource: None,
        name: "m".into(),
        namespace: object["metadata"]["namespace"].as_str().unwrap().into(),
        operation: if old.is_null() { Operation::Create } else { Operation::Update },
        user_info: User { username: "flux".into(), groups: vec![] },
        object,
        old_object: old,
        dry_run: Some(dry_run),
        options: Value::Null,
        known_by: None,
    })
}

fn causes(answer: &Answer) -> Vec<(&str, &str)> {
    answer.causes.iter().map(|cause| (cause.rule.as_str(), cause.field.as_deref().unwrap_or(""))).collect()
}

#[tokio::test]
async fn an_unsafe_helm_release_is_refused_at_the_field() {
    let refused = ask(running("4.2.20"), helm_release("5.0.19", json!({})), helm_release("4.2.20", json!({})), false).await;
    assert!(causes(&refused).contains(&("MV205", "spec.chart.spec.version")), "{refused:?}");
    // Also where the object itself says nothing of before, and where it lies about it.
    for old in [Value::Null, helm_release("4.2.58", json!({}))] {
        let refused = ask(running("4.2.20"), helm_release("5.0.19", json!({})), old, false).await;
        assert!(causes(&refused).iter().any(|(rule, _)| *rule == "MV205"), "{refused:?}");
    }
    let safe = ask(running("4.2.20"), helm_release("4.2.20", json!({"queryNode": {"replicas": 3}})), helm_release("4.2.20", json!({})), false).await;
    assert!(safe.is_admitted(), "{safe:?}");
}

#[tokio::test]
async fn what_only_waited_may_be_taken_back_over_a_door() {
    let later = Recipe::new("5.0.19", 2, json!({}));
    let held = |cluster: &mut Snapshot| {
        for component in later.components() {
            let mut deployment = later.deployment(component);
            deployment["spec"]["paused"] = json!(true);
            deployment["metadata"]["annotations"][HOLD_ANNOTATION] = json!("it waits");
            deployment["metadata"]["annotations"][SERVING_CHART_ANNOTATION] = json!("milvus-4.2.58");
            cluster.put(deployment);
        }
    };
    let back = async |change: &dyn Fn(&mut Snapshot)| {
        let mut cluster = running("4.2.58");
        held(&mut cluster);
        change(&mut cluster);
        let answer = ask(cluster, helm_release("4.2.58", json!({})), helm_release("5.0.19", json!({})), false).await;
        answer.causes.iter().map(|cause| cause.rule.clone()).collect::<Vec<_>>()
    };
    assert_eq!(back(&|_| {}).await, Vec::<String>::new());
    // Something of it ran, or a store was let go for it; or nothing is held.
    let querynode = later.deployment("querynode");
    assert!(back(&|cluster| cluster.put(replica_set(&querynode, 2, 0))).await.contains(&"MV211".to_owned()));
    let mut upgrade = api::guarded_upgrade("db", "m", "2.6.15");
    upgrade["status"] = json!({"components": [{"name": "etcd", "startedAt": "2026-11-22T00:00:00Z"}]});
    assert!(back(&|cluster| cluster.put(upgrade.clone())).await.contains(&"MV211".to_owned()));
    // Declared, and that declaration is gone, with all that it remembered.
    let declared = |uid: &'static str| {
        move |cluster: &mut Snapshot| {
            let mut proxy = Value::clone(cluster.of_kind("Deployment").find(|object| object["metadata"]["name"] == "m-milvus-proxy").unwrap());
            proxy["metadata"]["annotations"][DECLARED_ANNOTATION] = json!("u1");
            cluster.put(proxy);
            let mut upgrade = api::guarded_upgrade("db", "m", "2.6.15");
            upgrade["metadata"]["uid"] = json!(uid);
            cluster.put(upgrade);
        }
    };
    assert_eq!(back(&declared("u1")).await, Vec::<String>::new());
    assert!(back(&declared("u2")).await.contains(&"MV211".to_owned()));
    assert!(back(&|cluster| *cluster = running("4.2.58")).await.contains(&"MV211".to_owned()));
}

#[tokio::test]
async fn applications_and_k3s_charts_are_read_too() {
    let here = "https://kubernetes.default.svc";
    let refused = ask(running("4.2.20"), application("5.0.19", here), application("4.2.20", here), false).await;
    assert!(causes(&refused).contains(&("MV205", "spec.source.targetRevision")), "{refused:?}");
    // What runs in this cluster says nothing about another one.
    assert!(!causes(&ask(running("4.2.20"), application("5.0.19", "https://other:6443"), Value::Null, false).await).iter().any(|(rule, _)| *rule == "MV205"));
    let chart = |version: &str| {
        json!({"apiVersion": "helm.cattle.io/v1", "kind": "HelmChart", "metadata": {"name": "m", "namespace": "kube-system"},
            "spec": {"repo": "https://zilliztech.github.io/milvus-helm", "chart": "milvus", "version": version, "targetNamespace": "db"}})
    };
    let refused = ask(running("4.2.20"), chart("5.0.19"), chart("4.2.20"), false).await;
    assert!(causes(&refused).contains(&("MV205", "spec.version")), "{refused:?}");
}

#[tokio::test]
async fn a_missing_declaration_is_a_warning_in_a_dry_run() {
    let (old, new) = (helm_release("3.2.18", json!({})), helm_release("4.0.34", json!({"image": {"all": {"tag": "v2.2.16"}}})));
    let dry = ask(running("3.2.18"), new.clone(), old.clone(), true).await;
    assert!(dry.warnings.iter().any(|text| text.starts_with("MV201")) && !causes(&dry).iter().any(|(rule, _)| *rule == "MV201"), "{dry:?}");
    let refused = ask(running("3.2.18"), new.clone(), old.clone(), false).await;
    assert!(causes(&refused).iter().any(|(rule, _)| *rule == "MV201"), "{refused:?}");
    let mut cluster = running("3.2.18");
    cluster.put(api::guarded_upgrade("db", "m", "2.2.16"));
    let declared = ask(cluster, new, old, false).await;
    assert!(!causes(&declared).iter().any(|(rule, _)| *rule == "MV201"), "{declared:?}");
}

#[tokio::test]
async fn preserved_values_are_carried_by_a_secret_once_it_is_there() {
    let mut object = helm_release("4.2.20", json!({}));
    object["spec"]["upgrade"] = json!({"preserveValues": true});
    object["spec"]["valuesFrom"] = json!([{"kind": "ConfigMap", "name": "more"}]);
    let before = ask(running("4.2.20"), object.clone(), Value::Null, false).await;
    assert!(before.is_admitted() && before.patch.0.is_empty(), "{before:?}");
    let mut cluster = running("4.2.20");
    cluster.put(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": carried_values_secret("m"), "namespace": "db"}}));
    let answer = ask(cluster.clone(), object.clone(), Value::Null, true).await;
    let mut stored = object.clone();
    json_patch::patch(&mut stored, &answer.patch).unwrap();
    assert_eq!((&stored["spec"]["upgrade"]["preserveValues"], &stored["spec"]["valuesFrom"][0]["name"]), (&json!(false), &json!("milvus-guard-carried-m")));
    // Applied again from git it becomes the same again, and as it is stored it is left alone.
    assert_eq!(ask(cluster.clone(), object, stored.clone(), false).await.patch, answer.patch);
    assert!(ask(cluster, stored.clone(), stored, false).await.patch.0.is_empty());
}

#[tokio::test]
async fn preserved_values_stay_where_carried_ones_would_come_out_otherwise_or_belong_elsewhere() {
    let mut cluster = running("4.2.20");
    cluster.put(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": carried_values_secret("m"), "namespace": "db"}}));
    let asking = |values: Value, more: Value| {
        let mut object = helm_release("4.2.20", values);
        object["spec"]["upgrade"] = json!({"preserveValues": true});
        object["spec"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        object
    };
    let item = json!({"valuesFrom": [{"kind": "Secret", "name": "x", "targetPath": "extraEnv[0].value"}]});
    for (object, says) in [
        (asking(json!({"a": {"b": null}}), json!({})), "null"),
        (asking(json!({}), item), "targetPath"),
        (asking(json!({}), json!({"kubeConfig": {"secretRef": {"name": "other"}}})), ""),
    ] {
        let answer = ask(cluster.clone(), object, Value::Null, false).await;
        assert!(answer.is_admitted() && answer.patch.0.is_empty(), "{answer:?}");
        assert_eq!(answer.warnings.iter().any(|text| text.starts_with("upgrade.preserveValues stays") && text.contains(says)), !says.is_empty(), "{answer:?}");
    }
    // What was carried until then is not under it.
    let mut again = asking(json!({"a": null}), json!({"valuesFrom": [{"kind": "Secret", "name": "milvus-guard-carried-m"}]}));
    let answer = ask(cluster.clone(), again.clone(), Value::Null, false).await;
    json_patch::patch(&mut again, &answer.patch).unwrap();
    assert_eq!((again["spec"].get("valuesFrom"), &again["spec"]["upgrade"]["preserveValues"]), (None, &json!(true)));
    // In a list Helm keeps a null as it is.
    let listed =
        ask(cluster, asking(json!({"a": [null]}), json!({"valuesFrom": [{"kind": "Secret", "name": "x", "targetPath": "a.b"}]})), Value::Null, false).await;
    assert!(!listed.patch.0.is_empty(), "{listed:?}");
}

#[tokio::test]
async fn who_no_longer_asks_for_preserved_values_loses_the_carried_ones() {
    let (carried, more) = (json!({"kind": "Secret", "name": "milvus-guard-carried-m"}), json!({"kind": "ConfigMap", "name": "more"}));
    let object = |upgrade: Value, sources: Value| {
        let mut object = helm_release("4.2.20", json!({}));
        object["spec"]["upgrade"] = upgrade;
        object["spec"]["valuesFrom"] = sources;
        object
    };
    let old = object(json!({"preserveValues": false}), json!([carried, more]));
    for (sources, left) in [(json!([carried, more]), Some(json!([more]))), (json!([carried]), None)] {
        let mut stored = object(json!({}), sources);
        let answer = ask(running("4.2.20"), stored.clone(), old.clone(), false).await;
        json_patch::patch(&mut stored, &answer.patch).unwrap();
        assert_eq!(stored["spec"].get("valuesFrom"), left.as_ref());
    }
    // As we left it it stays, whoever writes it.
    let mut suspended = old.clone();
    suspended["spec"]["suspend"] = json!(true);
    assert!(ask(running("4.2.20"), suspended, old, false).await.patch.0.is_empty());
}

const NAMESPACES: [&str; 4] = ["db", "other", "charts", "unrelated"];

/// A cluster that changes, and whose caches may be behind.
struct Changing {
    cached: RwLock<Snapshot>,
    stored: RwLock<Snapshot>,
    generation: AtomicU64,
    /// Changes of namespaces that are counted by themselves.
    generations: RwLock<BTreeMap<String, u64>>,
}

impl Changing {
    fn new(cluster: Snapshot) -> Arc<Self> {
        Arc::new(Self { cached: RwLock::new(cluster.clone()), stored: RwLock::new(cluster), generation: AtomicU64::new(0), generations: RwLock::default() })
    }

    /// Counts a change of a namespace, or of all of them.
    fn count(&self, namespace: Option<&str>) {
        let total = self.generation.fetch_add(1, Ordering::SeqCst) + 1;
        let mut generations = self.generations.write().unwrap();
        let touched: Vec<String> = namespace.map_or_else(|| NAMESPACES.map(str::to_owned).to_vec(), |name| vec![name.to_owned()]);
        generations.extend(touched.into_iter().map(|name| (name, total)));
    }

    fn put(&self, object: Value) {
        self.stored.write().unwrap().put(object);
    }
}

impl Reads for Changing {
    fn read<'a>(&'a self, api: Api, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        let stored = self.stored.read().unwrap();
        ready(stored.read(api, namespace, name).now_or_never().unwrap()).boxed()
    }
}

impl Cluster for Changing {
    fn objects(&self, kind: Kind, namespace: &str) -> Vec<Arc<Value>> {
        self.cached.read().unwrap().objects(kind, namespace)
    }

    fn kubernetes(&self) -> Option<(u32, u32)> {
        self.cached.read().unwrap().kubernetes
    }

    fn generation(&self) -> Option<u64> {
        Some(self.generation.load(Ordering::SeqCst))
    }

    fn generation_in(&self, namespace: &str) -> Option<u64> {
        Some(self.generations.read().unwrap().get(namespace).copied().unwrap_or_default())
    }

    fn is_ready(&self) -> bool {
        true
    }
}

/// The body of a review, as the API server writes it.
fn body(request: &Request) -> Vec<u8> {
    let kind = json!({"group": request.kind.group, "version": request.kind.version, "kind": request.kind.kind});
    let operation = if request.operation == Operation::Create { "CREATE" } else { "UPDATE" };
    serde_json::to_vec(&json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": request.uid, "kind": kind, "name": request.name, "namespace": request.namespace, "operation": operation, "userInfo": {"username": request.user_info.username},
        "object": request.object, "oldObject": request.old_object, "dryRun": request.dry_run}}))
    .unwrap()
}

/// What is answered to a body as the server asks for it, and whether it was known.
async fn answer_to<C: Cluster>(guard: &Guard<C>, body: &[u8]) -> (Answer, bool) {
    match guard.glance(Gate::GitOps, body) {
        Glance::Known(_, answer) => (answer, true),
        Glance::Decode(known_by) => {
            let request = Request { known_by, ..parse(body).unwrap() };
            (guard.judge(Gate::GitOps, Arc::new(request)).await, false)
        }
    }
}

#[tokio::test]
async fn a_verdict_is_kept_until_the_cluster_changes() {
    let cluster = Changing::new(running("4.2.20"));
    let guard = Guard::new(Arc::clone(&cluster), Configuration::default());
    let ask = async |chart, second: u64, dry_run| {
        let mut object = helm_release(chart, json!({"queryNode": {"replicas": 3}}));
        object["metadata"]["managedFields"] = json!([{"time": format!("2026-01-05T08:00:{second:02}Z")}]);
        let (answer, is_known) = answer_to(&guard, &body(&request(object, Value::Null, dry_run))).await;
        (answer.is_admitted(), is_known)
    };
    assert_eq!((ask("4.2.20", 1, true).await, ask("4.2.10", 1, true).await), ((true, false), (false, false)));
    // As if a cache had changed and nobody had counted it: the same object is not judged again.
    *cluster.cached.write().unwrap() = running("4.2.58");
    assert_eq!(ask("4.2.20", 2, false).await, (true, true));
    cluster.count(Some("unrelated"));
    assert_eq!(ask("4.2.20", 2, true).await, (true, true));
    cluster.count(Some("db"));
    assert_eq!((ask("4.2.20", 3, false).await, ask("4.2.58", 3, false).await), ((false, false), (true, false)));
}

#[tokio::test]
async fn what_changes_nothing_that_is_judged_is_known_by_its_text() {
    let guard = Guard::new(Arc::new(running("4.2.20")), Configuration::default());
    let old = helm_release("4.2.10", json!({}));
    let mut touched = old.clone();
    touched["metadata"]["finalizers"] = json!(["x"]);
    touched["status"] = json!({"observedGeneration": 2});
    assert_eq!(answer_to(&guard, &body(&request(touched.clone(), old.clone(), false))).await, (Answer::admitted(), true));
    touched["metadata"]["annotations"] = json!({"reconcile.fluxcd.io/requestedAt": "now"});
    assert!(!answer_to(&guard, &body(&request(touched, old, false))).await.1);
}

/// A number below `end`, from a fixed sequence.
fn next(state: &mut u64, end: usize) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state % 1_000_003).unwrap() % end
}

/// Some state of a HelmRelease; what does not count is other each time.
fn any_release(state: &mut u64) -> Value {
    let mut object = helm_release(["4.2.20", "4.2.20", "4.2.58", "5.0.19"][next(state, 4)], json!({"queryNode": {"replicas": next(state, 2)}}));
    object["metadata"]["resourceVersion"] = json!(next(state, 1000).to_string());
    object["metadata"]["managedFields"] = json!([{"time": next(state, 1000)}]);
    object["status"] = json!({"observedGeneration": next(state, 1000)});
    match next(state, 7) {
        0 => object["metadata"]["annotations"] = json!({"guard.milvus-guard.dev/allow": "MV110 reason=\"tested\"; MV205 until=2020-01-01 reason=late"}),
        1 => object["metadata"]["annotations"] = json!({"reconcile.fluxcd.io/requestedAt": next(state, 2).to_string()}),
        2 => object["spec"]["targetNamespace"] = json!("other"),
        4 => object["spec"]["chart"]["spec"]["sourceRef"]["namespace"] = json!("charts"),
        3 => object["spec"]["upgrade"] = json!({"preserveValues": true}),
        _ => {}
    }
    object
}

/// One thing that happens to a cluster, and the namespace that it is in; none: all of them.
fn any_event(state: &mut u64, cluster: &mut Snapshot) -> Option<&'static str> {
    let label = [json!({}), json!({"guard.milvus-guard.dev/mode": "warn"}), json!({"guard.milvus-guard.dev/mode": "of"})][next(state, 3)].clone();
    let annotations = [json!({}), json!({"guard.milvus-guard.dev/break-glass": "reason=INC-7 until=2020-01-01T00:00:00Z"})][next(state, 2)].clone();
    let namespace = ["db", "other", "charts"][next(state, 3)];
    match next(state, 5) {
        0 => {
            let namespace = ["db", "other"][next(state, 2)];
            let text = running(["4.2.20", "4.2.58", "3.2.18"][next(state, 3)]).of_kind("ReplicaSet").map(|set| set.to_string()).collect::<Vec<_>>();
            text.iter().for_each(|set| cluster.put(serde_json::from_str(&set.replace("\"db\"", &format!("\"{namespace}\""))).unwrap()));
            return Some(namespace);
        }
        1 => cluster.put(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": label, "annotations": annotations}})),
        2 => cluster.put(api::guarded_upgrade(namespace, "m", ["2.5.16", "2.6.15"][next(state, 2)])),
        3 => {
            let url = ["https://zilliztech.github.io/milvus-helm", "https://example.com/charts"][next(state, 2)];
            cluster.put(json!({"apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmRepository", "metadata": {"name": "zilliz", "namespace": namespace}, "spec": {"url": url}}));
        }
        _ => {
            cluster.kubernetes = [None, Some((1, 25)), Some((1, 33))][next(state, 3)];
            return None;
        }
    }
    Some(namespace)
}

#[tokio::test]
async fn a_verdict_that_is_remembered_is_the_one_that_would_be_made() {
    let mut state = 0x2545_f491_4f6c_dd1d;
    let cluster = Changing::new(running("4.2.20"));
    let guard = Guard::new(Arc::clone(&cluster), Configuration::default());
    let (mut known, mut refused) = (0, 0);
    let mut seen: Vec<(Value, Value)> = Vec::new();
    for step in 0..400 {
        if next(&mut state, 8) == 0 {
            let touched = any_event(&mut state, &mut cluster.cached.write().unwrap());
            let now = cluster.cached.read().unwrap().clone();
            *cluster.stored.write().unwrap() = now;
            cluster.count(touched);
        }
        // One of the last ones, mostly.
        if seen.is_empty() || next(&mut state, 4) == 0 {
            seen.insert(0, (any_release(&mut state), if next(&mut state, 3) == 0 { Value::Null } else { any_release(&mut state) }));
        }
        let (object, old) = seen[next(&mut state, seen.len().min(8))].clone();
        let body = body(&request(object, old, next(&mut state, 2) == 0));
        let (answer, is_known) = answer_to(&guard, &body).await;
        let anew = Guard::new(Arc::clone(&cluster), Configuration::default()).judge(Gate::GitOps, Arc::new(parse(&body).unwrap())).await;
        assert_eq!(answer, anew, "step {step}: {}", String::from_utf8_lossy(&body));
        known += usize::from(is_known);
        refused += usize::from(!answer.is_admitted());
    }
    assert!(known > 25 && refused > 60, "{known} known, {refused} refused");
}

#[tokio::test]
async fn what_the_api_server_is_asked_for_is_never_remembered() {
    let cluster = Changing::new(running("3.2.18"));
    let guard = Guard::new(Arc::clone(&cluster), Configuration::default());
    let values = json!({"image": {"all": {"tag": "v2.2.16"}}});
    let refuses = async |dry_run| {
        let answer = answer_to(&guard, &body(&request(helm_release("4.0.34", values.clone()), helm_release("3.2.18", json!({})), dry_run))).await.0;
        causes(&answer).iter().any(|(rule, _)| *rule == "MV201")
    };
    assert!(!refuses(true).await && refuses(false).await);
    cluster.put(api::guarded_upgrade("db", "m", "2.2.16"));
    assert!(!refuses(false).await, "a declaration that no cache has yet counts");
}

#[tokio::test]
async fn other_objects_and_waived_rules_pass() {
    let mut other = helm_release("1.0.0", json!({}));
    other["spec"]["chart"]["spec"]["chart"] = json!("redis");
    assert_eq!(ask(running("4.2.20"), other, Value::Null, false).await, Answer::admitted());
    let mut waived = helm_release("4.2.10", json!({}));
    let refused = ask(running("4.2.20"), waived.clone(), helm_release("4.2.20", json!({})), false).await;
    assert!(causes(&refused).iter().any(|(rule, _)| *rule == "MV110"), "{refused:?}");
    waived["metadata"]["annotations"] = json!({"guard.milvus-guard.dev/allow": "MV110 reason=\"tested in staging\"; MV212 reason=same"});
    let passed = ask(running("4.2.20"), waived, helm_release("4.2.20", json!({})), false).await;
    assert!(passed.is_admitted() && passed.audit["waived"].contains("MV110"), "{passed:?}");
}

#[tokio::test]
async fn what_was_so_of_another_version_is_said_anew() {
    let of = |chart: &str| helm_release(chart, json!({}));
    let warned = async |from: &'static str, to: &str| ask(running(from), of(to), of(from), false).await.warnings.iter().any(|text| text.starts_with("MV216: "));
    // Both are vulnerable: that of the target is what the linter reports, that of a version which stays was known before.
    assert!(warned("5.0.3", "5.0.6").await);
    let mut grown = of("5.0.3");
    grown["spec"]["values"] = json!({"queryNode": {"replicas": 3}});
    let same = ask(running("5.0.3"), grown, of("5.0.3"), false).await;
    assert!(!same.warnings.iter().any(|text| text.starts_with("MV216")), "{same:?}");
}

#[tokio::test]
async fn an_image_of_the_chart_is_none_that_the_user_pinned() {
    let mut after = helm_release("4.2.20", json!({}));
    after["spec"]["upgrade"] = json!({"preserveValues": true});
    let answer = ask(running("4.1.24"), after, helm_release("4.1.24", json!({})), false).await;
    assert!(answer.is_admitted() && answer.warnings.iter().any(|text| text.starts_with("MV108: ")), "{answer:?}");
}
