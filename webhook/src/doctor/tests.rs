use serde_json::{Value, json};

use super::installation::selects;
use super::report;
use super::*;
use crate::admission::fixture::Recipe;
use crate::admission::hold::{BLOCKED_ANNOTATION, FENCE_LABEL, FENCE_NAMESPACE_LABEL, HOLD_ANNOTATION, MARKS_ANNOTATION};
use crate::cluster::running::tests::replica_set;

const CONFIGURATION: &str = "ValidatingWebhookConfiguration";

/// A cluster with one healthy release, and a guard that is installed as its chart installs it.
struct World {
    recipe: Recipe,
    objects: Vec<Value>,
    seen: Seen,
}

impl World {
    fn new() -> Self {
        let recipe = Recipe::new("4.2.58", 3, json!({"cluster": {"enabled": false}}));
        let mut world = Self { recipe, objects: Vec::new(), seen: Seen { now: 1_000_000, namespaces: vec!["db".into()], ..Seen::default() } };
        for component in world.recipe.components() {
            let mut deployment = world.recipe.deployment(component);
            deployment["metadata"]["generation"] = json!(1);
            deployment["status"] = json!({"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1});
            world.objects.push(replica_set(&deployment, 1, 1));
            world.objects.push(deployment);
        }
        let labels = json!({"app.kubernetes.io/name": "milvus-guard", "app.kubernetes.io/version": env!("CARGO_PKG_VERSION")});
        let selector = json!({"matchExpressions": [{"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["guard"]}]});
        world.objects.extend([
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "db", "labels": {"kubernetes.io/metadata.name": "db"}}}),
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "g", "namespace": "guard", "labels": labels},
                "spec": {"replicas": 2, "template": {"spec": {"containers": [{"args": ["webhook"]}, {"args": ["controller"]}]}}}, "status": {"availableReplicas": 2}}),
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "g-registration", "namespace": "guard", "labels": labels},
                "data": {"registration.yaml": "kind: X\nwebhooks: [{name: own.guard}]\n"}}),
            json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": CONFIGURATION, "metadata": {"name": "g", "labels": labels},
                "webhooks": [{"name": "own.guard", "namespaceSelector": selector}]}),
        ]);
        for definition in [crate::api::GUARDED_UPGRADE_CRD, crate::api::UPGRADE_RECEIPT_CRD] {
            world.objects.push(serde_yaml::from_str(definition).unwrap());
        }
        world.seen.cluster.kubernetes = Some((1, 33));
        world.seen.probe = Some(("db".into(), Probe::Answered));
        world.store(&world.recipe.clone(), "deployed", &[]);
        world
    }

    fn store(&mut self, recipe: &Recipe, status: &str, not_served: &[&str]) {
        let revision = Revision {
            namespace: "db".into(),
            release: "m".into(),
            number: 3,
            status: status.into(),
            since: Some(999_000),
            driver: Driver::Secret,
            completed_before: Some(2),
        };
        let content = read_stored(&recipe.secret(), Driver::Secret);
        self.seen.revisions = vec![revision.clone()];
        self.seen.stored = vec![Stored { revision, content, not_served: not_served.iter().map(|kind| (*kind).to_owned()).collect() }];
    }

    fn object(&mut self, kind: &str) -> &mut Value {
        self.objects.iter_mut().find(|object| object["kind"] == kind).unwrap()
    }

    fn milvus(&mut self) -> &mut Value {
        self.objects.iter_mut().find(|object| object["kind"] == "Deployment" && object["metadata"]["namespace"] == "db").unwrap()
    }

    fn examine(&self) -> Vec<Entry> {
        let mut seen = self.seen.clone();
        seen.cluster = Snapshot::new(self.objects.clone());
        seen.cluster.kubernetes = self.seen.cluster.kubernetes;
        examine(&seen)
    }

    /// What is not as it should be: check, rule, state.
    fn wrong(&self) -> Vec<(&'static str, String, State)> {
        let all = self.examine();
        for entry in &all {
            assert!(entry.state != State::Problem || entry.remedy.as_ref().is_some_and(|remedy| !remedy.is_empty()), "each problem has a remedy: {entry:?}");
        }
        let wrong = all.into_iter().filter(|entry| entry.state > State::Note);
        wrong.map(|entry| (entry.check, entry.rule.map(|rule| rule.to_string()).unwrap_or_default(), entry.state)).collect()
    }
}

#[test]
fn nothing_is_wrong_where_nothing_is_wrong() {
    let world = World::new();
    let entries = world.examine();
    assert!(entries.iter().all(|entry| entry.state == State::Ok), "{}", report::text(&entries));
    assert!(entries.iter().any(|entry| entry.check == "release" && entry.message.contains("milvusdb/milvus:v2.5.16 serves")), "{entries:#?}");
    assert_eq!(exit_code(&entries), 0);
}

#[test]
fn each_thing_that_is_wrong_is_told_by_its_own_check_and_nothing_else_is() {
    type Plant = fn(&mut World);
    let table: &[(&str, &str, Plant)] = &[
        ("kubernetes", "", |world| world.seen.cluster.kubernetes = Some((1, 27))),
        ("definitions", "", |world| {
            let definition = world.object("CustomResourceDefinition");
            definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].as_object_mut().unwrap().remove("windows");
        }),
        ("definitions", "", |world| world.objects.retain(|object| object["metadata"]["name"] != "upgradereceipts.guard.milvus-guard.dev")),
        ("registration", "", |world| world.objects.retain(|object| object["kind"] != CONFIGURATION)),
        ("registration", "", |world| world.object(CONFIGURATION)["webhooks"] = json!([])),
        ("registration", "", |world| world.object(CONFIGURATION)["webhooks"][0]["name"] = json!("another")),
        ("replicas", "", |world| world.objects.iter_mut().find(|object| object["metadata"]["name"] == "g").unwrap()["status"]["availableReplicas"] = json!(1)),
        ("webhook", "", |world| world.seen.probe = Some(("db".into(), Probe::Unanswered("failed calling webhook".into())))),
        ("webhook", "", |world| world.seen.probe = Some(("db".into(), Probe::NotAsked))),
        ("rights", "", |world| world.seen.lacking.push(("system:serviceaccount:guard:g".into(), "list deployments.apps in all namespaces".into()))),
        ("coverage", "", |world| world.object("Namespace")["metadata"]["labels"]["guard.milvus-guard.dev/mode"] = json!("strict")),
        ("pending-release", "MV709", |world| world.store(&world.recipe.clone(), "pending-upgrade", &[])),
        ("stored-manifest", "MV118", |world| world.store(&world.recipe.clone(), "deployed", &["policy/v1beta1 PodDisruptionBudget"])),
        ("drift", "MV713", |world| {
            let other = Recipe { config: json!({"cluster": {"enabled": false}, "image": {"all": {"tag": "v2.5.22"}}}), ..world.recipe.clone() };
            world.store(&other, "deployed", &[]);
        }),
        ("rollout", "MV710", |world| world.milvus()["status"]["availableReplicas"] = json!(0)),
        ("hold", "", |world| world.milvus()["metadata"]["annotations"][HOLD_ANNOTATION] = json!("waits")),
        ("marks", "", |world| world.milvus()["metadata"]["annotations"][MARKS_ANNOTATION] = json!("helm.sh/resource-policy")),
        ("stopped", "", |world| world.milvus()["metadata"]["annotations"]["guard.milvus-guard.dev/stopped"] = json!("1")),
        ("operator", "MV708", |world| {
            let object = world.milvus();
            object["metadata"]["ownerReferences"] = json!([{"apiVersion": "milvus.io/v1beta1", "kind": "Milvus", "name": "m"}]);
        }),
        ("fence", "", |world| {
            let labels = json!({FENCE_LABEL: "m", FENCE_NAMESPACE_LABEL: "db"});
            world.objects.push(json!({"kind": "ValidatingAdmissionPolicy", "metadata": {"name": "f", "labels": labels}}));
        }),
        ("upgrade", "", |world| {
            let mut upgrade = crate::api::guarded_upgrade("db", "m", "2.6.15");
            upgrade["status"] = json!({"phase": "Failed", "message": "pods crash"});
            world.objects.push(upgrade);
        }),
    ];
    for (check, rule, plant) in table {
        let mut world = World::new();
        plant(&mut world);
        assert_eq!(world.wrong(), [(*check, (*rule).to_owned(), State::Problem)], "{}", report::text(&world.examine()));
        assert_eq!(exit_code(&world.examine()), 1);
    }
}

#[test]
fn a_migration_whose_declaration_is_gone_is_to_be_declared_again_and_not_swept_away() {
    let mut world = World::new();
    let left =
        json!({"id": "0a1b2c3d", "from": "2.1.4", "to": "2.2.16", "topologyBefore": "standalone", "topologyAfter": "standalone", "before": {}}).to_string();
    let noted = json!({"guard.milvus-guard.dev/stopped": "1", "guard.milvus-guard.dev/stopped-for": left});
    world.milvus()["metadata"]["annotations"].as_object_mut().unwrap().extend(noted.as_object().unwrap().clone());
    let labels = json!({FENCE_LABEL: "m", FENCE_NAMESPACE_LABEL: "db"});
    world.objects.push(json!({"kind": "ValidatingAdmissionPolicy", "metadata": {"name": "f", "labels": labels}}));
    for check in ["stopped", "fence"] {
        let remedy = world.examine().into_iter().find(|entry| entry.check == check).unwrap().remedy.unwrap();
        assert!(remedy.starts_with("Declare the upgrade again: a GuardedUpgrade m in namespace db with spec.to: 2.2.16"), "{remedy}");
    }
}

#[test]
fn what_waits_in_an_open_upgrade_is_no_problem() {
    let mut world = World::new();
    world.milvus()["metadata"]["annotations"][HOLD_ANNOTATION] = json!("waits");
    world.milvus()["metadata"]["annotations"][MARKS_ANNOTATION] = json!("helm.sh/resource-policy");
    let mut upgrade = crate::api::guarded_upgrade("db", "m", "2.6.15");
    upgrade["status"] = json!({"phase": "Running"});
    world.objects.push(upgrade);
    assert_eq!(world.wrong(), []);
}

/// A world whose release has an open upgrade, and something that waits for its turn in it.
fn upgrading(status: Value) -> World {
    let mut world = World::new();
    world.milvus()["metadata"]["annotations"][HOLD_ANNOTATION] = json!("waits");
    let mut upgrade = crate::api::guarded_upgrade("db", "m", "2.6.15");
    upgrade["status"] = status;
    world.objects.push(upgrade);
    world
}

fn without_controller(world: &mut World) {
    let guard = world.objects.iter_mut().find(|object| object["metadata"]["name"] == "g" && object["kind"] == "Deployment").unwrap();
    guard["spec"]["template"]["spec"]["containers"] = json!([{"args": ["webhook"]}]);
}

#[test]
fn an_open_upgrade_that_waits_for_a_person_is_a_problem() {
    let stalled = json!([{"type": "Stalled", "status": "True", "reason": "Blocked", "message": "m"}]);
    for phase in ["Held", "Running", "Migrating", "RollingBack"] {
        let world = upgrading(json!({"phase": phase, "message": "proxy is not to be released: MV210", "conditions": stalled}));
        assert_eq!(world.wrong(), [("upgrade", String::new(), State::Problem)], "{phase}");
        let entry = world.examine().into_iter().find(|entry| entry.check == "upgrade").unwrap();
        assert_eq!(entry.message, format!("the upgrade to 2.6.15 does not go on by itself ({phase}): proxy is not to be released: MV210"));
    }
    // One that has ended is told by what it left.
    let ended = upgrading(json!({"phase": "Aborted", "message": "m", "conditions": stalled}));
    assert_eq!(ended.wrong(), [("hold", String::new(), State::Problem)]);
}

#[test]
fn an_open_upgrade_without_a_controller_is_a_problem_unless_it_may_only_not_be_seen() {
    let mut world = upgrading(json!({"phase": "Running"}));
    without_controller(&mut world);
    assert_eq!(world.wrong(), [("hold", String::new(), State::Problem)]);
    let entry = world.examine().into_iter().find(|entry| entry.check == "hold").unwrap();
    assert!(entry.remedy.is_some_and(|remedy| remedy.starts_with("No controller is there to release them")));
    // Nothing of it waits.
    world.milvus()["metadata"]["annotations"].as_object_mut().unwrap().remove(HOLD_ANNOTATION);
    assert_eq!(world.wrong(), [("upgrade", String::new(), State::Problem)]);
    let mut unseen = upgrading(json!({"phase": "Running"}));
    without_controller(&mut unseen);
    unseen.seen.unread.push(("Deployments".into(), "deployments.apps is forbidden".into()));
    assert!(unseen.wrong().iter().all(|(check, ..)| *check == "read"), "{:?}", unseen.wrong());
}

#[test]
fn a_store_that_is_held_is_never_to_be_deleted() {
    let mut world = World::new();
    let mut store = Recipe::new("4.2.58", 3, json!({})).deployment("proxy");
    let labels = json!({"app": "minio", "release": "m"});
    store["metadata"] = json!({"name": "m-minio", "namespace": "db", "labels": labels, "annotations": {HOLD_ANNOTATION: "waits"}});
    store["spec"]["selector"]["matchLabels"] = labels.clone();
    store["spec"]["template"]["metadata"]["labels"] = labels;
    world.objects.push(store);
    let hold = |world: &World| world.examine().into_iter().find(|entry| entry.check == "hold").and_then(|entry| entry.remedy).unwrap();
    let back = "get deployments,statefulsets -n db; or take the change back: milvus-guard cleanup -n db m (--dry-run tells first)";
    assert!(hold(&world).ends_with(back), "{}", hold(&world));
    assert!(hold(&world).starts_with("Where the controller lets none of it go within a minute, a store or queue is not complete"), "{}", hold(&world));
    // Beside Milvus, Helm takes both back.
    world.milvus()["metadata"]["annotations"][HOLD_ANNOTATION] = json!("waits");
    assert!(hold(&world).ends_with("take the change back: helm rollback m 2 -n db"), "{}", hold(&world));
}

#[test]
fn a_hold_says_why_it_is_not_released_and_who_would() {
    let remedy = |blocked: bool, controller: bool| {
        let mut world = World::new();
        world.milvus()["metadata"]["annotations"][HOLD_ANNOTATION] = json!("waits");
        if blocked {
            world.milvus()["metadata"]["annotations"][BLOCKED_ANNOTATION] = json!("MV205: stop at 2.5.16");
        }
        if !controller {
            world.objects.iter_mut().find(|object| object["metadata"]["name"] == "g").unwrap()["spec"]["template"]["spec"]["containers"] =
                json!([{"args": ["webhook"]}]);
        }
        let entry = world.examine().into_iter().find(|entry| entry.check == "hold").unwrap();
        format!("{} {}", entry.message, entry.remedy.unwrap())
    };
    assert!(remedy(true, true).contains("MV205: stop at 2.5.16"));
    assert!(remedy(true, true).ends_with(" Do what that asks for; or take the change back: helm rollback m 2 -n db"), "{}", remedy(true, true));
    assert!(remedy(false, true).contains(r#""spec":{"to":"2.5.16"}}' | kubectl apply -f -"#), "{}", remedy(false, true));
    assert!(remedy(false, false).contains("milvus-guard rolling-update -i m -n db"));
}

/// A release of which a part runs 2.6.15 and the rest waits for it; `beside`: what its pods run, too.
async fn on_the_way_to_2_6(runs: &str) -> Vec<Entry> {
    let mut world = World::new();
    let (before, after) = (Recipe::new("4.2.58", 2, json!({})), Recipe::new("5.0.19", 3, json!({})).status("deployed"));
    world.objects.retain(|object| object["metadata"]["namespace"] != "db" || object["kind"] == "Namespace");
    let mut mixcoord = after.deployment("mixcoord");
    mixcoord["spec"]["template"]["spec"]["containers"][0]["image"] = json!(format!("milvusdb/milvus:{runs}"));
    world.objects.push(replica_set(&mixcoord, 2, 1));
    for component in ["mixcoord", "proxy"] {
        world.objects.push(replica_set(&before.deployment(component), 1, u64::from(component == "proxy")));
        let mut deployment = after.deployment(component);
        deployment["metadata"]["annotations"][HOLD_ANNOTATION] = json!("waits");
        world.objects.push(deployment);
    }
    world.store(&after, "deployed", &[]);
    let cluster = Snapshot::new(world.objects.clone());
    if let Some(why) = back::refused(&cluster, vec![after.secret(), before.secret()], &world.seen.revisions[0]).await {
        world.seen.no_rollback.insert(("db".into(), "m".into()), why);
    }
    world.seen.revisions[0].status = "pending-upgrade".into();
    world.examine()
}

#[tokio::test]
async fn a_way_back_is_told_only_where_gate_1_lets_it_pass() {
    let remedy = |entries: &[Entry], check: &str| entries.iter().find(|entry| entry.check == check).and_then(|entry| entry.remedy.clone()).unwrap();
    let entries = on_the_way_to_2_6("v2.5.16").await;
    assert!(remedy(&entries, "hold").ends_with("; or take the change back: helm rollback m 2 -n db"), "{}", remedy(&entries, "hold"));
    assert!(remedy(&entries, "pending-release").contains("put the release back first: helm rollback m 2 -n db"));
    let entries = on_the_way_to_2_6("v2.6.15").await;
    for check in ["hold", "pending-release"] {
        let remedy = remedy(&entries, check);
        assert!(remedy.contains(". No way leads back: helm rollback m 2 -n db is refused: MV211: ") && !remedy.contains("take the change back"), "{remedy}");
    }
}

#[test]
fn an_image_that_tells_no_version_is_declared_with_its_version() {
    let mut world = World::new();
    let held = world.milvus();
    held["metadata"]["annotations"][HOLD_ANNOTATION] = json!("waits");
    held["spec"]["template"]["spec"]["containers"][0]["image"] = json!("milvusdb/milvus@sha256:0a1b");
    let remedy = world.examine().into_iter().find(|entry| entry.check == "hold").and_then(|entry| entry.remedy).unwrap();
    assert!(remedy.contains(r#""imageVersions":{"milvusdb/milvus@sha256:0a1b":"X.Y.Z"}"#), "{remedy}");
}

#[test]
fn gates_that_the_user_may_not_see_are_not_taken_for_gone() {
    let mut world = World::new();
    world.objects.retain(|object| object["kind"] != CONFIGURATION);
    let forbidden = "validatingwebhookconfigurations is forbidden: User \"ada\" cannot list resource";
    world.seen.unread.push(("ValidatingWebhookConfigurations".into(), forbidden.into()));
    assert_eq!(world.wrong(), [("registration", String::new(), State::Unknown), ("read", String::new(), State::Unknown)]);
    assert!(world.examine().iter().all(|entry| entry.check != "coverage"));
    // Nor is a guard of which nothing is to be seen.
    world.objects.retain(|object| object["metadata"]["namespace"] != "guard");
    let entry = world.examine().into_iter().find(|entry| entry.check == "registration").unwrap();
    assert!(entry.state == State::Unknown && entry.message.contains("cannot be told"), "{entry:?}");
}

#[test]
fn a_held_image_is_no_drift_and_the_way_back_is_that_of_whoever_brought_it() {
    let told = |image: &str, blocked: bool| {
        let mut world = World::new();
        let held = world.milvus();
        held["metadata"]["annotations"][HOLD_ANNOTATION] = json!("waits");
        if blocked {
            held["metadata"]["annotations"][BLOCKED_ANNOTATION] = json!("MV205: stop at 2.5.16");
        }
        held["spec"]["template"]["spec"]["containers"][0]["image"] = json!(image);
        let entries = world.examine();
        assert!(entries.iter().all(|entry| entry.check != "drift"), "{entries:?}");
        let entry = entries.into_iter().find(|entry| entry.check == "hold").unwrap();
        (entry.message, entry.remedy.unwrap())
    };
    assert!(told("milvusdb/milvus:v2.5.16", false).1.contains("helm rollback m 2 -n db"), "what Helm's newest revision says, Helm takes back");
    let (message, remedy) = told("milvusdb/milvus:v2.6.15", true);
    assert!(message.contains("standalone will not be released: MV205"), "{message}");
    assert!(remedy.contains("milvus-guard cleanup -n db m (--dry-run tells first)"), "{remedy}");
}

#[test]
fn a_held_component_that_never_ran_and_is_of_no_release_is_deleted() {
    let mut world = World::new();
    let mut stray = Recipe::new("4.2.58", 3, json!({})).deployment("proxy");
    stray["metadata"]["annotations"][HOLD_ANNOTATION] = json!("waits");
    let command = format!("kubectl delete deployment {} -n db", stray["metadata"]["name"].as_str().unwrap());
    world.objects.push(stray);
    let remedy = |world: &World| world.examine().into_iter().find(|entry| entry.check == "hold").and_then(|entry| entry.remedy).unwrap();
    assert!(remedy(&world).ends_with(&format!("take the change back: {command}")), "{}", remedy(&world));
    // Argo CD and `kubectl apply` keep no revision that would tell.
    world.seen.revisions.clear();
    world.seen.stored.clear();
    assert!(remedy(&world).ends_with(&format!("take the change back: {command} (where what applies the release has it no more)")), "{}", remedy(&world));
}

#[test]
fn a_namespace_without_a_release_is_told_and_one_that_is_not_there_is_unknown() {
    let told = |world: &World| world.examine().into_iter().find(|entry| entry.check == "release").map(|entry| (entry.state, entry.message)).unwrap();
    let mut world = World::new();
    world.objects.retain(|object| object["metadata"]["namespace"] != "db");
    world.seen.revisions.clear();
    world.seen.stored.clear();
    assert_eq!(told(&world), (State::Note, "no Milvus release in namespace db; -A looks everywhere".to_owned()));
    world.objects.retain(|object| object["kind"] != "Namespace");
    assert_eq!(told(&world), (State::Unknown, "there is no namespace db".to_owned()));
    assert_eq!(exit_code(&world.examine()), 2);
}

#[test]
fn an_api_server_that_does_not_answer_is_told_once() {
    let mut world = World::new();
    world.seen.unanswered = Some("connection refused".into());
    world.seen.unread.push(("Deployments".into(), "connection refused".into()));
    assert_eq!(world.wrong(), [("read", String::new(), State::Unknown)]);
}

#[test]
fn an_upgrade_from_a_laptop_is_a_problem_once_nobody_carries_it_on() {
    let mut world = World::new();
    let kept = crate::api::guarded_upgrade("db", "m", "2.5.22").to_string();
    let labels = json!({"guard.milvus-guard.dev/upgrade-of": "m"});
    world.objects.push(
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "milvus-guard-upgrade-m", "namespace": "db", "labels": labels}, "data": {"upgrade.json": kept}}),
    );
    assert_eq!(world.wrong(), [("upgrade", String::new(), State::Problem)]);
    let renewed = jiff::Timestamp::from_second(world.seen.now - 5).unwrap().to_string();
    world.objects.push(json!({"kind": "Lease", "metadata": {"name": "milvus-guard-upgrade-m", "namespace": "db"}, "spec": {"renewTime": renewed}}));
    assert_eq!(world.wrong(), []);
    world.seen.now += 60;
    assert_eq!(world.wrong().len(), 1);
}

#[test]
fn an_operation_of_helm_under_way_is_a_note_until_helm_itself_would_give_up() {
    let mut world = World::new();
    world.store(&world.recipe.clone(), "pending-upgrade", &[]);
    world.seen.revisions[0].since = Some(world.seen.now - 299);
    assert_eq!(world.wrong(), []);
    world.seen.revisions[0].since = Some(world.seen.now - 300);
    assert_eq!(world.wrong().len(), 1);
}

#[test]
fn several_versions_that_serve_are_told_where_nothing_ends_that() {
    let mut world = World::new();
    let other = Recipe::new("4.2.58", 3, json!({}));
    for (component, tag) in [("proxy", "v2.5.16"), ("querynode", "v2.5.22")] {
        let mut deployment = other.deployment(component);
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!(format!("milvusdb/milvus:{tag}"));
        world.objects.push(replica_set(&deployment, 1, 1));
    }
    let entries = world.examine();
    let entry = entries.iter().find(|entry| entry.check == "versions").unwrap();
    assert_eq!(entry.rule.as_deref(), Some("MV711"));
    assert!(entry.message.contains("2.5.16 (proxy, standalone); 2.5.22 (querynode)"), "{entry:?}");
}

#[test]
fn what_could_not_be_read_is_unknown_with_the_right_that_lacks() {
    let mut world = World::new();
    world
        .seen
        .unread
        .push(("Secrets of Helm releases".into(), "secrets is forbidden: User \"ada\" cannot list resource \"secrets\" in the namespace \"db\"".into()));
    let entries = world.examine();
    assert_eq!(exit_code(&entries), 2);
    assert!(report::text(&entries).contains("cannot list resource \"secrets\""));
    let json = report::json(&entries);
    assert_eq!((&json["summary"]["unknown"], &json["summary"]["problems"], &json["schema_version"]), (&json!(1), &json!(0), &json!(1)));
}

#[test]
fn a_certificate_is_told_before_it_ends_and_when_nobody_trusts_it() {
    use crate::server::certificates::authority::{Lifetimes, Step, next};
    let made = |now| match next(None, &["g".into()], &Lifetimes::default(), &|_| true, now).unwrap() {
        Step::Store(shared, _) => *shared,
        Step::Keep => panic!("one is made"),
    };
    let (own, other) = (made(0), made(0));
    let wrong = |authority: &str, now: i64| {
        let mut world = World::new();
        let bundle = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, authority);
        world.object(CONFIGURATION)["webhooks"][0]["clientConfig"] = json!({"caBundle": bundle});
        world.seen.serving_certificate = Some(own.chain.clone());
        world.seen.now = now;
        world.seen.revisions.clear();
        world.examine().into_iter().filter(|entry| entry.state == State::Problem).map(|entry| entry.message).collect::<Vec<_>>()
    };
    let day = 86_400;
    assert_eq!(wrong(&own.authorities.concat(), 70 * day), Vec::<String>::new(), "renewed after 60 days; a few more may pass");
    assert_eq!(wrong(&own.authorities.concat(), 80 * day), ["the webhook's certificate ends in 10d and was not renewed when it was due"]);
    assert_eq!(wrong(&own.authorities.concat(), 91 * day), ["the webhook's certificate has ended 24h ago: nothing is judged"]);
    assert!(wrong(&other.authorities.concat(), day)[0].contains("does not trust the authority"));
}

#[test]
fn kinds_are_read_from_a_manifest() {
    let manifest =
        "---\n# Source: x\napiVersion: policy/v1beta1\nkind: PodDisruptionBudget\n---\napiVersion: \"v1\"\nkind: Service\n---\napiVersion: v1\nkind: Service\n";
    let pair = |version: &str, kind: &str| (version.to_owned(), kind.to_owned());
    assert_eq!(kinds(manifest), [pair("policy/v1beta1", "PodDisruptionBudget"), pair("v1", "Service")]);
}

#[test]
fn label_selectors_select_as_kubernetes_does() {
    let object = json!({"metadata": {"labels": {"a": "1"}}});
    let expression = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "a", "operator": operator, "values": values}]});
    for (selector, selected) in [
        (json!({}), true),
        (json!({"matchLabels": {"a": "1"}}), true),
        (json!({"matchLabels": {"a": "2"}}), false),
        (expression("In", json!(["1"])), true),
        (expression("NotIn", json!(["1"])), false),
        (expression("NotIn", json!(["2"])), true),
        (expression("Exists", Value::Null), true),
        (expression("DoesNotExist", Value::Null), false),
    ] {
        assert_eq!(selects(&selector, &object), selected, "{selector}");
    }
    assert!(selects(&expression("NotIn", json!(["1"])), &json!({})), "an object without the label");
}
