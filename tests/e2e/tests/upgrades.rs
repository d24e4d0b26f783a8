//! Upgrades carried out by the controller before a real API server. The order is read from pod starts, and never from what the controller says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams, PostParams};
use kube::core::{ApiResource, GroupVersionKind};
use milvus_guard::rollout::orders::StepKind;
use milvus_guard::rollout::{Orders, Pair, Topology};
use milvus_guard_e2e::commands::{Ended, HELMS, Program};
use milvus_guard_e2e::control_plane::ControlPlane;
use milvus_guard_e2e::kubelet::{Behaviour, PodStart};
use milvus_guard_e2e::sandbox::{Sandbox, wait};
use milvus_guard_e2e::webhook::{Controller, Installed};
use serde_json::{Value, json};

use crate::gates::CLUSTER;

/// A sandbox with a guard and a controller of its own.
pub(crate) struct Upgrading {
    pub(crate) sandbox: Sandbox,
    pub(crate) guard: Installed,
    pub(crate) controller: Controller,
}

impl Upgrading {
    pub(crate) async fn new(name: &str) -> Option<Self> {
        Some(Self::on(ControlPlane::shared(name).await?, name, &[]).await)
    }

    /// The same on a control plane of one's own; the guard judges more namespaces besides: those of GitOps tools.
    pub(crate) async fn on(plane: &'static ControlPlane, name: &str, beside: &[&str]) -> Self {
        let sandbox = Sandbox::on(plane, name).await;
        let sets = ["gates.helmStorage.failurePolicy=Fail", "gates.helmStorage.doubt=refuse", "limits.budget=8s", "log.level=debug"];
        let timeouts = ["helmStorage", "gitops", "workloads", "dependencies", "own"].map(|gate| format!("gates.{gate}.timeoutSeconds=10"));
        let carried = format!("rbac.carriedValuesNamespaces={{{}}}", sandbox.namespace);
        let sets: Vec<&str> = sets.into_iter().chain(timeouts.iter().map(String::as_str)).chain([carried.as_str()]).collect();
        let judged: Vec<&str> = [sandbox.namespace.as_str()].into_iter().chain(beside.iter().copied()).collect();
        let guard = Installed::new(plane, name, 1, &judged, &sets).await;
        let mut controller = guard.controller("controller", &[&sandbox.namespace]);
        controller.wait_until_ready().await;
        Self { sandbox, guard, controller }
    }

    pub(crate) async fn helm(&self, helm: Program, verb: &str, version: &str, more: &str) -> Ended {
        run_helm(&self.sandbox, helm, verb, version, more).await
    }

    pub(crate) async fn installed(&self, helm: Program, version: &str, more: &str) {
        let ended = self.helm(helm, "install", version, more).await;
        assert!(ended.status.success(), "{ended}");
        self.sandbox.wait_until_rolled_out().await;
    }

    fn upgrades(&self) -> Api<DynamicObject> {
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("guard.milvus-guard.dev", "v1alpha1", "GuardedUpgrade"));
        Api::namespaced_with(self.sandbox.admin.clone(), &self.sandbox.namespace, &resource)
    }

    /// Declares an upgrade of release `m`, or changes what is declared.
    pub(crate) async fn declare(&self, spec: Value) {
        let object = json!({"apiVersion": "guard.milvus-guard.dev/v1alpha1", "kind": "GuardedUpgrade", "metadata": {"name": "m"}, "spec": spec});
        let admin = self.sandbox.plane.admin().await;
        let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=person", "-n", &self.sandbox.namespace, "-f", "-"];
        self.sandbox.command_as(&admin, Program::Kubectl, apply).input(object.to_string()).ok().await;
    }

    pub(crate) async fn status(&self) -> Value {
        let found = self.upgrades().get_opt("m").await.unwrap();
        found.map_or(Value::Null, |object| object.data["status"].clone())
    }

    pub(crate) async fn phase(&self) -> String {
        self.status().await["phase"].as_str().unwrap_or_default().to_owned()
    }

    /// The versions that pods of the release run, which are not ending.
    async fn running(&self) -> BTreeSet<String> {
        let pods = self.sandbox.pods().await;
        let milvus = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).flat_map(|pod| &pod.spec.as_ref().unwrap().containers);
        milvus.filter_map(|container| container.image.as_deref()?.strip_prefix("milvusdb/milvus:v").map(str::to_owned)).collect()
    }

    pub(crate) async fn runs_only(&self, version: &str) {
        wait(&format!("nothing but {version}"), async || (self.running().await == BTreeSet::from([version.to_owned()])).then_some(())).await;
    }

    /// Waits until the upgrade is in a phase, said for what is declared now; tells its status.
    pub(crate) async fn reaches(&self, phase: &str) -> Value {
        let begin = Instant::now();
        loop {
            let object = self.upgrades().get_opt("m").await.unwrap();
            let status = object.as_ref().map_or(Value::Null, |object| object.data["status"].clone());
            let generation = object.and_then(|object| object.metadata.generation);
            if status["phase"] == phase && status["observedGeneration"].as_i64() == generation {
                return status;
            }
            assert!(
                begin.elapsed() < milvus_guard_e2e::sandbox::PATIENCE,
                "not {phase}: {}\n{}",
                serde_json::to_string_pretty(&status).unwrap(),
                self.controller.tail()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Nothing of the guard is left on any workload, claim or configuration, and it owns no field.
    pub(crate) async fn nothing_is_left(&self) {
        wait("that nothing of the guard is left", async || {
            let all = self.sandbox.objects().await;
            let kinds = ["Deployment/", "StatefulSet/", "ConfigMap/", "PersistentVolumeClaim/"];
            let of_milvus = all.iter().filter(|(name, _)| kinds.iter().any(|kind| name.starts_with(kind)));
            let left: Vec<&String> = of_milvus.filter(|(_, object)| object.contains("milvus-guard")).map(|(name, _)| name).collect();
            left.is_empty().then_some(())
        })
        .await;
    }

    pub(crate) async fn deployments(&self) -> Vec<String> {
        self.sandbox.api::<Deployment>().list(&ListParams::default()).await.unwrap().items.iter().map(ResourceExt::name_any).collect()
    }

    /// How many of the four separate coordinators are there.
    pub(crate) async fn separate_coordinators(&self) -> usize {
        let is_one = |name: &&String| ["rootcoord", "datacoord", "querycoord", "indexcoord"].iter().any(|one| name.ends_with(one));
        self.deployments().await.iter().filter(is_one).count()
    }
}

/// The values of a release with these besides.
pub(crate) fn values(more: &str) -> String {
    format!("{CLUSTER},queryNode.replicas=2,proxy.replicas=2{more}")
}

pub(crate) async fn run_helm(sandbox: &Sandbox, helm: Program, verb: &str, version: &str, more: &str) -> Ended {
    let chart = sandbox.chart(version);
    let values = values(more);
    sandbox.helm(helm, [verb, "m", chart.to_str().unwrap(), "--set", &values, "--timeout=60s"]).run().await
}

/// Pod starts of an image, by component: positions among all starts of the namespace.
pub(crate) fn positions(starts: &[PodStart], image: &str) -> BTreeMap<String, Vec<usize>> {
    let mut found: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, start) in starts.iter().enumerate().filter(|(_, start)| start.image().ends_with(image)) {
        found.entry(start.component.clone()).or_default().push(at);
    }
    found
}

/// Where pods of an image were started against the policy's order of an upgrade: a component of a later step before one of an earlier step.
pub(crate) fn violations(starts: &[PodStart], pair: &Pair) -> Vec<String> {
    let found = positions(starts, &format!(":v{}", pair.to));
    let order = Orders::embedded().find(pair).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let rolled: Vec<&str> = order.steps.iter().filter(|step| step.kind == StepKind::Roll).map(|step| step.component.name()).collect();
    let there: Vec<&&str> = rolled.iter().filter(|name| found.contains_key(**name)).collect();
    let pairs = there.windows(2).map(|pair| (*pair[0], *pair[1]));
    pairs
        .filter(|(earlier, later)| found[*later].iter().min() < found[*earlier].iter().max())
        .map(|(earlier, later)| format!("{later} before {earlier}"))
        .collect()
}

pub(crate) fn into_2_6() -> Pair {
    Pair { from: "2.5.16".parse().unwrap(), to: "2.6.15".parse().unwrap(), before: Topology::MixCoordinator, after: Topology::Streaming }
}

#[tokio::test]
async fn an_upgrade_into_2_6_runs_in_the_order_of_the_policy_and_not_without_the_guard() {
    for helm in HELMS {
        let Some(upgrading) = Upgrading::new(&format!("into26-{}", helm.file())).await else { return };
        upgrading.installed(helm, "4.2.58", "").await;
        upgrading.declare(json!({"to": "2.6.15"})).await;
        upgrading.reaches("Prepared").await;
        // A streaming node is not ready before there is a mix coordinator of 2.6.
        upgrading.sandbox.behave(|pods| pods.component("streamingnode"), Behaviour::NeverReady);
        let ended = upgrading.helm(helm, "upgrade", "5.0.19", "").await;
        assert!(ended.status.success(), "{ended}");
        wait("a mix coordinator of 2.6", async || upgrading.sandbox.images_of("mixcoord").last().is_some_and(|image| image.ends_with("v2.6.15")).then_some(()))
            .await;
        upgrading.sandbox.behave(|pods| pods.component("streamingnode"), Behaviour::ReadyAfter(Duration::from_millis(20)));
        let status = upgrading.reaches("Completed").await;
        let starts = upgrading.sandbox.starts();
        assert_eq!(violations(&starts, &into_2_6()), Vec::<String>::new());
        for component in ["streamingnode", "mixcoord", "querynode", "datanode", "proxy"] {
            assert!(positions(&starts, ":v2.6.15").contains_key(component), "{component} was not replaced");
        }
        assert!(!upgrading.deployments().await.iter().any(|name| name.ends_with("indexnode")), "the index node goes at the end");
        let receipt = status["receipt"].as_str().unwrap_or_else(|| panic!("no receipt: {status:#}"));
        let receipt: Value = upgrading
            .sandbox
            .command_as(&upgrading.sandbox.plane.admin().await, Program::Kubectl, ["get", "ur", receipt, "-o", "json", "-n", &upgrading.sandbox.namespace])
            .ok()
            .await
            .json();
        assert_eq!((&receipt["spec"]["from"], &receipt["spec"]["to"]), (&json!("2.5.16"), &json!("2.6.15")));
        upgrading.nothing_is_left().await;
        // Nobody but the chart owns its fields: the next upgrade meets no conflict, and what it changes runs.
        let next = upgrading.helm(helm, "upgrade", "5.0.19", ",dataNode.replicas=2,log.level=debug").await;
        assert!(next.status.success(), "{next}");
        upgrading.sandbox.wait_until_rolled_out().await;
    }
    let Some(plain) = Sandbox::new("into26-without").await else { return };
    for (verb, version) in [("install", "4.2.58"), ("upgrade", "5.0.19")] {
        let ended = run_helm(&plain, Program::Helm3, verb, version, "").await;
        assert!(ended.status.success(), "{ended}");
        plain.wait_until_rolled_out().await;
    }
    assert_ne!(violations(&plain.starts(), &into_2_6()), Vec::<String>::new(), "Helm alone keeps the order, so this test proves nothing");
}

/// Sends a signal to a program.
fn signal(controller: &mut Controller, name: &str) {
    let id = controller.process().inner_id().expect("the controller runs").to_string();
    let status = std::process::Command::new("kill").args([&format!("-{name}"), &id]).status().unwrap();
    assert!(status.success(), "no {name} for {id}");
}

pub(crate) fn pair(from: &str, to: &str, before: Topology, after: Topology) -> Pair {
    Pair { from: from.parse().unwrap(), to: to.parse().unwrap(), before, after }
}

#[tokio::test]
async fn a_controller_that_is_killed_or_frozen_at_any_point_loses_nothing() {
    let Some(mut upgrading) = Upgrading::new("killed").await else { return };
    upgrading.installed(Program::Helm4, "4.2.20", "").await;
    // Nobody declares anything: it only needs an order.
    let ended = upgrading.helm(Program::Helm4, "upgrade", "4.2.58", "").await;
    assert!(ended.status.success(), "{ended}");
    let begin = Instant::now();
    let mut killed: u32 = 0;
    while upgrading.phase().await != "Completed" {
        assert!(begin.elapsed() < milvus_guard_e2e::sandbox::PATIENCE, "not completed after {killed} kills\n{}", upgrading.controller.tail());
        // Other lengths each time, from before the first write of a run to some writes later.
        tokio::time::sleep(Duration::from_millis(120 + u64::from(killed * 67 % 400))).await;
        if killed < 25 {
            upgrading.controller.restart();
            killed += 1;
        }
    }
    assert!(killed > 3, "it was over before it was killed");
    let order = pair("2.4.16", "2.5.16", Topology::MixCoordinator, Topology::MixCoordinator);
    assert_eq!(violations(&upgrading.sandbox.starts(), &order), Vec::<String>::new());
    upgrading.nothing_is_left().await;

    // Frozen in the middle; another one takes over, and when the first goes on, it changes nothing any more.
    let mut second = upgrading.guard.controller("second", &[&upgrading.sandbox.namespace]);
    second.wait_until_ready().await;
    upgrading.declare(json!({"to": "2.6.15"})).await;
    upgrading.reaches("Prepared").await;
    let ended = upgrading.helm(Program::Helm4, "upgrade", "5.0.19", "").await;
    assert!(ended.status.success(), "{ended}");
    wait("the first pod of 2.6", async || (!positions(&upgrading.sandbox.starts(), ":v2.6.15").is_empty()).then_some(())).await;
    signal(&mut upgrading.controller, "STOP");
    upgrading.reaches("Completed").await;
    upgrading.nothing_is_left().await;
    // Kubernetes and the second one come to rest first.
    let versions = crate::held::versions_at_rest(&upgrading.sandbox).await;
    signal(&mut upgrading.controller, "CONT");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let written = crate::held::changed(&versions, &crate::held::versions(&upgrading.sandbox).await);
    assert!(written.is_empty(), "the one that was frozen wrote {written:?}\n{}", upgrading.controller.tail());
    assert_eq!(violations(&upgrading.sandbox.starts(), &into_2_6()), Vec::<String>::new());

    // One that is told to end gives the Lease back, and nobody has to wait until it runs out.
    upgrading.controller.process().kill();
    signal(&mut second, "TERM");
    assert!(second.process().wait(Duration::from_secs(60)).is_some_and(|status| status.success()), "{}", second.tail());
    let leases: Api<Lease> = Api::namespaced(upgrading.sandbox.plane.admin().await.client, &upgrading.guard.namespace);
    let lease = leases.get(&format!("{}-controller", upgrading.guard.name)).await.unwrap();
    assert_eq!(lease.spec.and_then(|spec| spec.holder_identity), None, "{}", second.tail());
}

#[tokio::test]
async fn what_was_let_go_is_taken_back_by_an_abort_and_by_a_rollback() {
    for helm in HELMS {
        let Some(upgrading) = Upgrading::new(&format!("back-{}", helm.file())).await else { return };
        upgrading.installed(helm, "4.2.58", "").await;
        let tag = |version: &str| format!(",image.all.tag=v{version}");
        let stuck = |upgrading: &Upgrading, version: &str, behaviour| {
            let image = format!("v{version}");
            upgrading.sandbox.behave(|pods| pods.component("querynode").image(&image), behaviour);
        };
        stuck(&upgrading, "2.5.22", Behaviour::NeverReady);
        let ended = upgrading.helm(helm, "upgrade", "4.2.58", &tag("2.5.22")).await;
        assert!(ended.status.success(), "{ended}");
        wait("a query node of 2.5.22", async || upgrading.sandbox.images_of("querynode").last().is_some_and(|image| image.ends_with("v2.5.22")).then_some(()))
            .await;
        // What came after it was never let go.
        assert!(!upgrading.sandbox.images_of("proxy").iter().any(|image| image.ends_with("v2.5.22")));
        upgrading.declare(json!({"to": "2.5.22", "abort": true})).await;
        upgrading.reaches("Aborted").await;
        upgrading.runs_only("2.5.16").await;
        // Forwards again, once what was wrong is put right.
        stuck(&upgrading, "2.5.22", Behaviour::ReadyAfter(Duration::from_millis(20)));
        upgrading.declare(json!({"to": "2.5.22", "abort": false, "retry": 1})).await;
        let ended = upgrading.helm(helm, "upgrade", "4.2.58", &tag("2.5.22")).await;
        assert!(ended.status.success(), "{ended}");
        upgrading.reaches("Completed").await;
        upgrading.runs_only("2.5.22").await;
        upgrading.nothing_is_left().await;

        // The applier rolls back in the middle of the next.
        stuck(&upgrading, "2.5.23", Behaviour::NeverReady);
        upgrading.declare(json!({"to": "2.5.23"})).await;
        let ended = upgrading.helm(helm, "upgrade", "4.2.58", &tag("2.5.23")).await;
        assert!(ended.status.success(), "{ended}");
        wait("a query node of 2.5.23", async || upgrading.sandbox.images_of("querynode").last().is_some_and(|image| image.ends_with("v2.5.23")).then_some(()))
            .await;
        let ended = upgrading.sandbox.helm(helm, ["rollback", "m", "3"]).run().await;
        assert!(ended.status.success(), "{ended}");
        upgrading.runs_only("2.5.22").await;
        upgrading.reaches("Aborted").await;
        upgrading.nothing_is_left().await;
        upgrading.sandbox.wait_until_rolled_out().await;
        // And no field is anybody's but the chart's.
        let ended = upgrading.helm(helm, "upgrade", "4.2.58", &format!("{},proxy.replicas=1,log.level=debug", tag("2.5.22"))).await;
        assert!(ended.status.success(), "{ended}");
    }
}

/// Watches until it is dropped that one of some components is ready at any time.
pub(crate) struct Served {
    watch: tokio::task::JoinHandle<usize>,
    done: std::sync::Arc<std::sync::atomic::AtomicBool>,
}

impl Served {
    pub(crate) fn by(sandbox: &Sandbox, components: &'static [&'static str]) -> Self {
        let pods = sandbox.api::<k8s_openapi::api::core::v1::Pod>();
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let until = std::sync::Arc::clone(&done);
        let selector = ListParams::default().labels(&format!("component in ({})", components.join(",")));
        let watch = tokio::spawn(async move {
            let mut looks = 0;
            while !until.load(std::sync::atomic::Ordering::Acquire) {
                let listed = pods.list(&selector).await.unwrap().items;
                let is_ready = |pod: &k8s_openapi::api::core::v1::Pod| {
                    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
                    pod.metadata.deletion_timestamp.is_none()
                        && conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
                };
                assert!(listed.iter().any(is_ready), "none of {components:?} is ready");
                looks += 1;
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
            looks
        });
        Self { watch, done }
    }

    /// How often it looked.
    pub(crate) async fn looks(self) -> usize {
        self.done.store(true, std::sync::atomic::Ordering::Release);
        self.watch.await.unwrap()
    }
}

/// Values of a release with a standby of each coordinator.
const STANDBY: &str = ",rootCoordinator.activeStandby.enabled=true,queryCoordinator.activeStandby.enabled=true,indexCoordinator.activeStandby.enabled=true,dataCoordinator.activeStandby.enabled=true,mixCoordinator.activeStandby.enabled=true";

/// Values of a release with separate coordinators.
pub(crate) fn separate() -> String {
    let separate =
        ",mixCoordinator.enabled=false,rootCoordinator.enabled=true,queryCoordinator.enabled=true,indexCoordinator.enabled=true,dataCoordinator.enabled=true";
    format!("{separate}{STANDBY}")
}

/// The way from chart 4.0.31 (2.2.13, separate coordinators): chart, values, and what that changes.
pub(crate) fn hops() -> [(&'static str, String, Pair); 4] {
    use Topology::{MixCoordinator, SeparateCoordinators};
    [
        ("4.1.24", separate(), pair("2.2.13", "2.3.11", SeparateCoordinators, SeparateCoordinators)),
        ("4.2.20", separate(), pair("2.3.11", "2.4.16", SeparateCoordinators, SeparateCoordinators)),
        ("4.2.58", STANDBY.to_owned(), pair("2.4.16", "2.5.16", SeparateCoordinators, MixCoordinator)),
        ("5.0.19", STANDBY.to_owned(), into_2_6()),
    ]
}

#[tokio::test]
async fn from_2_2_to_2_6_in_hops_with_the_switch_to_the_mix_coordinator_in_between() {
    let Some(upgrading) = Upgrading::new("hops").await else { return };
    upgrading.installed(Program::Helm3, "4.0.31", &separate()).await;
    for (chart, values, pair) in hops() {
        upgrading.declare(json!({"to": pair.to.to_string()})).await;
        upgrading.reaches("Prepared").await;
        let served = Served::by(&upgrading.sandbox, &["rootcoord", "mixcoord"]);
        let ended = upgrading.helm(Program::Helm3, "upgrade", chart, &values).await;
        assert!(ended.status.success(), "{chart}: {ended}");
        upgrading.reaches("Completed").await;
        assert!(served.looks().await > 10, "{chart}");
        assert_eq!(violations(&upgrading.sandbox.starts(), &pair), Vec::<String>::new(), "{chart}");
        upgrading.runs_only(&pair.to.to_string()).await;
        upgrading.nothing_is_left().await;
        let separate = upgrading.separate_coordinators().await;
        assert_eq!(separate, if pair.after == Topology::SeparateCoordinators { 4 } else { 0 }, "{chart}");
    }
}

#[tokio::test]
async fn rendered_manifests_that_arrive_in_parts_begin_when_the_last_is_there_and_end_under_an_applier_that_never_rests() {
    let Some(upgrading) = Upgrading::new("parts").await else { return };
    let sandbox = &upgrading.sandbox;
    let render = async |version: &str| {
        let (chart, values) = (sandbox.chart(version), format!("{CLUSTER},queryNode.replicas=2"));
        let rendered =
            sandbox.helm(Program::Helm3, ["template", "m", chart.to_str().unwrap(), "--namespace", &sandbox.namespace, "--set", &values]).ok().await.stdout;
        rendered.split("\n---\n").map(str::to_owned).collect::<Vec<_>>()
    };
    let apply = async |documents: &[String]| {
        let apply = ["apply", "--server-side", "--force-conflicts", "--field-manager=applier", "-f", "-"];
        sandbox.kubectl(apply).input(documents.join("\n---\n")).ok().await;
    };
    apply(&render("4.2.58").await).await;
    sandbox.wait_until_rolled_out().await;
    upgrading.declare(json!({"to": "2.6.15"})).await;
    upgrading.reaches("Prepared").await;
    // All but what the order begins with; that comes last.
    let is_last = |document: &String| {
        let object: Value = serde_yaml::from_str(document).unwrap();
        object["kind"] == "Deployment" && object["metadata"]["name"] == "m-milvus-streamingnode"
    };
    let all = render("5.0.19").await;
    let (last, first): (Vec<String>, Vec<String>) = all.clone().into_iter().partition(is_last);
    assert_eq!(last.len(), 1);
    apply(&first).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(positions(&sandbox.starts(), ":v2.6.15").is_empty(), "it began with a part of the change");
    apply(&last).await;
    // All of it again and again, also once it is done.
    let mut rounds = 0;
    let mut after_the_end = 0;
    while after_the_end < 2 {
        apply(&all).await;
        rounds += 1;
        after_the_end += u32::from(upgrading.phase().await == "Completed");
        assert!(rounds < 600, "{}", upgrading.controller.tail());
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    upgrading.runs_only("2.6.15").await;
    assert_eq!(violations(&upgrading.sandbox.starts(), &into_2_6()), Vec::<String>::new());
    assert!(!upgrading.deployments().await.iter().any(|name| name.ends_with("indexnode")));
    upgrading.nothing_is_left().await;
}

#[tokio::test]
async fn people_approve_pause_and_let_it_go_back_by_itself() {
    let Some(upgrading) = Upgrading::new("steered").await else { return };
    upgrading.installed(Program::Helm3, "4.2.58", "").await;
    left_to_a_laptop(&upgrading).await;
    let tag = |version: &str| format!(",image.all.tag=v{version}");
    let new = |version: &str| positions(&upgrading.sandbox.starts(), &format!(":v{version}")).into_keys().collect::<BTreeSet<_>>();
    upgrading.declare(json!({"to": "2.5.22", "approval": "Manual"})).await;
    upgrading.reaches("Prepared").await;
    let ended = upgrading.helm(Program::Helm3, "upgrade", "4.2.58", &tag("2.5.22")).await;
    assert!(ended.status.success(), "{ended}");
    let order = Orders::embedded().find(&pair("2.5.16", "2.5.22", Topology::MixCoordinator, Topology::MixCoordinator)).unwrap();
    let mut approved = BTreeSet::new();
    for step in &order.steps {
        let asks = format!("2.5.22/{}", step.component);
        wait(&format!("that {asks} is asked for"), async || (upgrading.status().await["awaitsApproval"] == asks.as_str()).then_some(())).await;
        assert_eq!(new("2.5.22"), approved, "before {asks}");
        if step.component.name() == "querynode" {
            upgrading.declare(json!({"to": "2.5.22", "approval": "Manual", "approvedStep": asks, "paused": true})).await;
            upgrading.reaches("Paused").await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(new("2.5.22"), approved, "paused");
        }
        upgrading.declare(json!({"to": "2.5.22", "approval": "Manual", "approvedStep": asks})).await;
        approved.insert(step.component.name().to_owned());
    }
    upgrading.reaches("Completed").await;
    upgrading.runs_only("2.5.22").await;

    upgrading.sandbox.behave(|pods| pods.component("querynode").image("v2.5.23"), Behaviour::NeverReady);
    upgrading.declare(json!({"to": "2.5.23", "onFailure": "Rollback", "timeouts": {"component": "4s"}})).await;
    upgrading.reaches("Prepared").await;
    let ended = upgrading.helm(Program::Helm3, "upgrade", "4.2.58", &tag("2.5.23")).await;
    assert!(ended.status.success(), "{ended}");
    let status = upgrading.reaches("Aborted").await;
    assert!(status["turnedBack"].as_str().is_some_and(|why| why.contains("querynode")), "{status:#}");
    upgrading.runs_only("2.5.22").await;
    assert!(!new("2.5.23").contains("proxy"), "what comes after the step that failed was never let go");

    // The release goes while an upgrade of it waits: what that kept goes, too, and claims stay.
    upgrading.sandbox.behave(|pods| pods.component("querynode").image("v2.6.15"), Behaviour::NeverReady);
    let ended = upgrading.sandbox.helm(Program::Helm3, ["rollback", "m", "2"]).run().await;
    assert!(ended.status.success(), "{ended}");
    upgrading.runs_only("2.5.22").await;
    upgrading.nothing_is_left().await;
    upgrading.declare(json!({"to": "2.6.15"})).await;
    upgrading.reaches("Prepared").await;
    let ended = upgrading.helm(Program::Helm3, "upgrade", "5.0.19", "").await;
    assert!(ended.status.success(), "{ended}");
    wait("a query node of 2.6", async || new("2.6.15").contains("querynode").then_some(())).await;
    assert!(upgrading.deployments().await.iter().any(|name| name.ends_with("indexnode")), "kept for its turn");
    let metrics = upgrading.controller.metrics();
    let series = format!("{{namespace=\"{}\",release=\"m\"", upgrading.sandbox.namespace);
    for wanted in [
        format!("milvus_guard_upgrade_phase{series},phase=\"Running\"}} 1"),
        format!("milvus_guard_holds_waiting{series}}} "),
        format!("milvus_guard_upgrade_progress_timestamp_seconds{series}}} "),
        "milvus_guard_upgrade_component_seconds_count{component=\"mixcoord\"} ".to_owned(),
        "milvus_guard_upgrade_seconds_count{result=\"aborted\"} ".to_owned(),
        "milvus_guard_lease_held 1".to_owned(),
    ] {
        assert!(metrics.lines().any(|line| line.starts_with(&wanted)), "no {wanted} in\n{metrics}");
    }
    upgrading.sandbox.helm(Program::Helm3, ["uninstall", "m"]).ok().await;
    wait("that nothing of the release is left but its claims", async || upgrading.deployments().await.is_empty().then_some(())).await;
    upgrading.reaches("Pending").await;
    let claims = upgrading.sandbox.api::<PersistentVolumeClaim>().list(&ListParams::default()).await.unwrap().items;
    assert!(claims.iter().any(|claim| claim.metadata.deletion_timestamp.is_none()), "the data is gone");
    // No upgrade to 2.6.15 ended, and yet it is known that it wrote the data.
    let again = upgrading.helm(Program::Helm3, "install", "4.2.58", &tag("2.5.22")).await;
    assert!(!again.status.success() && again.stderr.contains("MV211") && again.stderr.contains("Milvus 2.6.15 wrote the data"), "{again}");
}

/// A declared upgrade is left to whoever holds the Lease of the release, until that is given back.
async fn left_to_a_laptop(upgrading: &Upgrading) {
    let leases: Api<Lease> = Api::namespaced(upgrading.sandbox.plane.admin().await.client, &upgrading.sandbox.namespace);
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "milvus-guard-upgrade-m"}, "spec": {"holderIdentity": "somebody@laptop"}});
    leases.create(&PostParams::default(), &serde_json::from_value(lease).unwrap()).await.unwrap();
    upgrading.declare(json!({"to": "2.5.22", "approval": "Manual"})).await;
    wait("that the upgrade is left to the laptop", async || {
        let status = upgrading.status().await;
        let says = |reason: &str| status["conditions"].as_array().is_some_and(|all| all.iter().any(|one| one["reason"] == reason));
        (says("CarriedOutElsewhere") && status["message"].as_str().is_some_and(|told| told.contains("somebody@laptop"))).then_some(())
    })
    .await;
    leases.delete("milvus-guard-upgrade-m", &DeleteParams::default()).await.unwrap();
}
