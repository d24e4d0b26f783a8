use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use futures::FutureExt as _;
use futures::future::{BoxFuture, ready};

use super::super::fixture::Recipe;
use super::super::guard::Configuration;
use super::super::release::Driver;
use super::super::request::{Kind as ObjectKind, User};
use super::super::{Gate, Judge as _};
use super::*;
use crate::api;
use crate::cluster::running::tests::replica_set;
use crate::cluster::{ReadError, Snapshot};

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
    Guard::new(Arc::new(cluster), Configuration::default()).judge(Gate::GitOps, request(object, old, dry_run)).await
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

/// A cluster that changes, and whose caches may be behind.
struct Changing {
    cached: RwLock<Snapshot>,
    stored: RwLock<Snapshot>,
    generation: AtomicU64,
}

impl Changing {
    fn new(cluster: Snapshot) -> Arc<Self> {
        Arc::new(Self { cached: RwLock::new(cluster.clone()), stored: RwLock::new(cluster), generation: AtomicU64::new(0) })
    }

    fn put(&self, object: Value) {
        self.stored.write().unwrap().put(object);
    }
}

impl Cluster for Changing {
    fn objects(&self, kind: Kind, namespace: &str) -> Vec<Arc<Value>> {
        self.cached.read().unwrap().objects(kind, namespace)
    }

    fn kubernetes(&self) -> Option<(u32, u32)> {
        None
    }

    fn generation(&self) -> Option<u64> {
        Some(self.generation.load(Ordering::SeqCst))
    }

    fn is_ready(&self) -> bool {
        true
    }

    fn release<'a>(&'a self, _: &'a str, _: &'a str, _: u32, _: Driver) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        ready(Ok(None)).boxed()
    }

    fn guarded_upgrade<'a>(&'a self, namespace: &'a str, name: &'a str) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        let found = self.stored.read().unwrap().object(Kind::GuardedUpgrade, namespace, name);
        ready(Ok(found.map(|object| Value::clone(&object)))).boxed()
    }

    fn config_map<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<Option<Value>, ReadError>> {
        ready(Ok(None)).boxed()
    }

    fn has_secret<'a>(&'a self, _: &'a str, _: &'a str) -> BoxFuture<'a, Result<bool, ReadError>> {
        ready(Ok(false)).boxed()
    }
}

#[tokio::test]
async fn a_verdict_is_kept_until_the_cluster_changes() {
    let cluster = Changing::new(running("4.2.20"));
    let guard = Guard::new(Arc::clone(&cluster), Configuration::default());
    let ask = async |chart, second: u64, dry_run| {
        let mut object = helm_release(chart, json!({"queryNode": {"replicas": 3}}));
        object["metadata"]["managedFields"] = json!([{"time": format!("2026-01-05T08:00:{second:02}Z")}]);
        guard.judge(Gate::GitOps, request(object, Value::Null, dry_run)).await.is_admitted()
    };
    assert!(ask("4.2.20", 1, true).await && !ask("4.2.10", 1, true).await);
    // As if a cache had changed and nobody had counted it: the same object is not judged again.
    *cluster.cached.write().unwrap() = running("4.2.58");
    assert!(ask("4.2.20", 2, false).await);
    cluster.generation.fetch_add(1, Ordering::SeqCst);
    assert!(!ask("4.2.20", 3, false).await && ask("4.2.58", 3, false).await);
}

#[tokio::test]
async fn what_the_api_server_is_asked_for_is_never_remembered() {
    let cluster = Changing::new(running("3.2.18"));
    let guard = Guard::new(Arc::clone(&cluster), Configuration::default());
    let values = json!({"image": {"all": {"tag": "v2.2.16"}}});
    let refuses = async |dry_run| {
        let answer = guard.judge(Gate::GitOps, request(helm_release("4.0.34", values.clone()), helm_release("3.2.18", json!({})), dry_run)).await;
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
