//! Gate 1 before a real API server, registered as the chart renders it: what is unsafe is refused to real Helm, and nothing is touched.

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::Deployment;
use kube::ResourceExt;
use milvus_guard::policy::Policies;
use milvus_guard_e2e::commands::{Ended, HELMS, Program};
use milvus_guard_e2e::control_plane::ControlPlane;
use milvus_guard_e2e::planted;
use milvus_guard_e2e::sandbox::{Sandbox, wait};
use milvus_guard_e2e::users::User;
use milvus_guard_e2e::webhook::Installed;
use serde_json::json;

pub(crate) const HOLD: &str = "guard.milvus-guard.dev/hold";
pub(crate) const BLOCKED: &str = "guard.milvus-guard.dev/blocked";

/// One small Milvus: a standalone with one etcd and one MinIO.
pub(crate) const SMALL: &str = "cluster.enabled=false,etcd.replicaCount=1,minio.mode=standalone,pulsar.enabled=false,pulsarv3.enabled=false";

/// A sandbox with the shared guard before it.
pub(crate) struct Guarded {
    pub(crate) sandbox: Sandbox,
    guard: &'static Installed,
}

impl Guarded {
    pub(crate) async fn new(name: &str) -> Option<Self> {
        let plane = ControlPlane::shared(name).await?;
        let guard = Installed::shared(plane).await;
        let sandbox = Sandbox::labelled(plane, name, &[Installed::namespace_label()]).await;
        sandbox.file("planted.yaml", &planted::values());
        Some(Self { sandbox, guard })
    }

    /// `helm VERB RELEASE CHART -f CREDENTIALS --set SMALL MORE`, as the deployer of the namespace.
    pub(crate) async fn helm(&self, helm: Program, verb: &str, release: &str, version: &str, more: &[&str]) -> Ended {
        let chart = self.sandbox.chart(version);
        let planted = self.sandbox.folder().join("planted.yaml");
        let mut arguments = vec![verb, release, chart.to_str().unwrap(), "-f", planted.to_str().unwrap(), "--set", SMALL];
        arguments.extend(more);
        self.sandbox.helm(helm, arguments).run().await
    }

    pub(crate) async fn installed(&self, helm: Program, release: &str, version: &str, more: &[&str]) {
        let ended = self.helm(helm, "install", release, version, more).await;
        assert!(ended.status.success(), "{ended}");
        self.sandbox.wait_until_rolled_out().await;
    }

    /// Every object of the namespace, once nothing moves any more.
    pub(crate) async fn objects(&self) -> BTreeMap<String, String> {
        let mut last = self.sandbox.objects().await;
        wait("a namespace that does not move", async || {
            tokio::time::sleep(std::time::Duration::from_millis(400)).await;
            let now = self.sandbox.objects().await;
            let is_same = now == last;
            last.clone_from(&now);
            is_same.then_some(now)
        })
        .await
    }

    /// Refused with this rule, whose cause and next step are told in the one line that Helm prints, and nothing was touched.
    pub(crate) async fn refuses(&self, rule: &str, says: &[&str], before: &BTreeMap<String, String>, ended: Ended) {
        assert!(!ended.status.success(), "{rule} was let through: {ended}");
        let told = ended.stderr.lines().find_map(|line| line.split_once("denied the request: ")).map(|(_, told)| told.to_owned());
        let told = told.unwrap_or_else(|| panic!("{rule} was not refused by the guard: {ended}"));
        let page = if Policies::embedded().rule(rule).is_some() { format!("[milvus-lint explain {rule}]") } else { String::new() };
        assert!(told.starts_with(&format!("{rule}: ")) && told.ends_with(&page), "{rule}: {told}");
        for part in says {
            assert!(told.contains(part), "{rule} does not say {part:?}: {told}");
        }
        let after = self.objects().await;
        let changed: Vec<&String> = before.keys().chain(after.keys()).filter(|name| before.get(*name) != after.get(*name)).collect();
        assert!(changed.is_empty(), "{rule} left something behind: {changed:?}");
    }

    /// A tool's service account that may do everything in the namespace, as Flux's and Argo CD's may.
    pub(crate) async fn tool(&self, name: &str) -> User {
        let user = self.sandbox.plane.service_account(&self.sandbox.namespace, name).await;
        self.sandbox.plane.bind(&user, "cluster-admin", &self.sandbox.namespace).await;
        user
    }

    /// Somebody who may deploy, and declare upgrades.
    pub(crate) async fn person(&self, name: &str) -> User {
        let plane = self.sandbox.plane;
        let role = format!("{name}-of-{}", self.sandbox.namespace);
        plane.cluster_role(&role, json!([{"apiGroups": ["guard.milvus-guard.dev"], "resources": ["*"], "verbs": ["*"]}])).await;
        let user = plane.service_account(&self.sandbox.namespace, name).await;
        plane.bind(&user, &role, &self.sandbox.namespace).await;
        plane.bind(&user, "admin", &self.sandbox.namespace).await;
        user
    }

    pub(crate) async fn deployment(&self, name: &str) -> Deployment {
        self.sandbox.api::<Deployment>().get(name).await.unwrap()
    }

    pub(crate) async fn is_held(&self, name: &str) -> bool {
        let deployment = self.deployment(name).await;
        let is_paused = deployment.spec.as_ref().and_then(|spec| spec.paused) == Some(true);
        assert_eq!(is_paused, deployment.annotations().contains_key(HOLD), "{:?}", deployment.annotations());
        is_paused
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.guard.replicas.iter().for_each(milvus_guard_e2e::webhook::Guard::keep_metrics);
    }
}

#[tokio::test]
async fn unsafe_upgrades_are_refused_and_leave_the_namespace_as_it_was() {
    for helm in HELMS {
        let Some(guarded) = Guarded::new(&format!("refused-{}", helm.file())).await else { return };
        guarded.installed(helm, "m", "4.2.20", &[]).await;
        let before = guarded.objects().await;
        let atomic = if helm == Program::Helm3 { "--atomic" } else { "--rollback-on-failure" };
        let stop = &["2.4.16", "2.6.15", "Go to Milvus 2.5.16 or later first"];
        let table: &[(&str, &[&str], &str, &[&str])] = &[
            ("MV205", stop, "5.0.19", &[]),
            ("MV205", stop, "5.0.19", &[atomic, "--timeout=60s"]),
            ("MV205", stop, "5.0.19", &["--wait", "--install"]),
            ("MV205", stop, "5.0.19", &["--set", "nameOverride=vec"]),
            ("MV401", &["RocksMQ", "NATS", "Keep the message queue"], "4.2.20", &["--set", "standalone.messageQueue=natsmq"]),
            ("MV110", &["4.2.20", "4.2.10", "Keep chart 4.2.20"], "4.2.10", &[]),
            ("MV211", &["2.4.16", "2.1.4", "Stay on"], "3.2.18", &[]),
        ];
        for (rule, says, version, more) in table {
            let ended = guarded.helm(helm, "upgrade", "m", version, more).await;
            guarded.refuses(rule, says, &before, ended).await;
        }
        // A safe one passes, and what it changes runs.
        let safe = guarded.helm(helm, "upgrade", "m", "4.2.20", &["--set", "standalone.resources.limits.cpu=2", "--wait"]).await;
        assert!(safe.status.success(), "{safe}");
        assert!(!guarded.is_held("m-milvus-standalone").await);
    }
}

#[tokio::test]
async fn other_drivers_wrappers_names_and_reused_values_are_seen_through() {
    let Some(guarded) = Guarded::new("seen-through").await else { return };
    let sandbox = &guarded.sandbox;
    // The ConfigMap driver.
    let map = |helm: Program, verb: &'static str, version: &'static str| {
        let chart = sandbox.chart(version);
        sandbox.helm(helm, [verb, "c", chart.to_str().unwrap(), "--set", SMALL]).env("HELM_DRIVER", "configmap")
    };
    map(Program::Helm3, "install", "4.2.20").ok().await;
    // A wrapper with an alias.
    let mirrored = format!("{SMALL},image.all.repository=harbor.corp/mirror/milvus");
    let below = mirrored.split(',').map(|one| format!("vec.{one}")).collect::<Vec<_>>().join(",");
    let wrapper = |helm: Program, verb: &'static str, version: &'static str, below: &str| {
        let chart = milvus_guard_e2e::chart::umbrella("search", version, Some("vec"), "{}");
        sandbox.helm(helm, [verb, "u", chart.to_str().unwrap(), "--set", below])
    };
    wrapper(Program::Helm4, "install", "4.2.20", &below).ok().await;
    // Other names: of the chart in labels and objects, and of all objects.
    const NAMES: [(&str, &str, &str); 2] = [("n", "nameOverride=vec", "n-vec-standalone"), ("f", "fullnameOverride=search", "search-standalone")];
    for (release, name, _) in NAMES {
        assert!(guarded.helm(Program::Helm3, "install", release, "4.2.20", &["--set", name]).await.status.success());
    }
    guarded.installed(Program::Helm3, "r", "4.1.24", &[]).await;
    let before = guarded.objects().await;
    let stop = &["2.4.16", "2.6.15", "Go to Milvus 2.5.16 or later first"];
    for helm in HELMS {
        guarded.refuses("MV205", stop, &before, map(helm, "upgrade", "5.0.19").run().await).await;
        guarded.refuses("MV205", stop, &before, wrapper(helm, "upgrade", "5.0.19", &below).run().await).await;
        for (release, name, _) in NAMES {
            let ended = guarded.helm(helm, "upgrade", release, "5.0.19", &["--set", name]).await;
            guarded.refuses("MV205", stop, &before, ended).await;
        }
        let reused = guarded.helm(helm, "upgrade", "r", "4.2.20", &["--reuse-values"]).await;
        guarded.refuses("MV108", &["--reset-then-reuse-values"], &before, reused).await;
    }
    // No label and no chart's name says that this is Milvus.
    let set = sandbox.kubectl(["set", "image", "deployment/u-vec-standalone", "standalone=harbor.corp/mirror/milvus:v2.6.15"]).ok().await;
    assert!(set.stderr.contains("is held") && guarded.is_held("u-vec-standalone").await, "{set}");
    for (release, name, deployment) in NAMES {
        let held = guarded.helm(Program::Helm4, "upgrade", release, "4.2.58", &["--set", name, "--wait"]).await;
        assert!(held.status.success() && held.stderr.contains("is held"), "{held}");
        assert!(guarded.is_held(deployment).await);
    }
}

#[tokio::test]
async fn a_door_opens_for_the_declaration_that_the_refusal_prints() {
    let Some(guarded) = Guarded::new("door").await else { return };
    let sandbox = &guarded.sandbox;
    guarded.installed(Program::Helm3, "m", "3.2.18", &[]).await;
    let before = guarded.objects().await;
    // MinIO stays what it is: its own door (MV503) is another matter.
    let to = ["--set", "image.all.tag=v2.2.16,minio.image.tag=RELEASE.2022-03-17T06-34-49Z"];
    let mut refused = None;
    for helm in HELMS {
        let ended = guarded.helm(helm, "upgrade", "m", "4.0.31", &to).await;
        refused = Some(ended.stderr.clone());
        guarded.refuses("MV201", &["2.1.4", "2.2.16", "| kubectl apply -f -"], &before, ended).await;
    }
    let object = refused.unwrap().split("echo '").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    let person = guarded.person("person").await;
    let apply = |text: String| sandbox.command_as(&person, Program::Kubectl, ["apply", "-f", "-"]).input(text);
    apply(object).ok().await;
    // At once: the cache may not know yet, so the API server is asked.
    let passed = guarded.helm(Program::Helm3, "upgrade", "m", "4.0.31", &to).await;
    assert!(passed.status.success(), "{passed}");
    assert!(guarded.is_held("m-milvus-standalone").await);
    assert_eq!(sandbox.images_of("standalone"), ["milvusdb/milvus:v2.1.4"]);
    // What is no version is refused by the schema, and only the controller writes receipts and status.
    let wrong = r#"{"apiVersion":"guard.milvus-guard.dev/v1alpha1","kind":"GuardedUpgrade","metadata":{"name":"n"},"spec":{"to":"newest"}}"#;
    apply(wrong.to_owned()).fails().await;
    let receipt = r#"{"apiVersion":"guard.milvus-guard.dev/v1alpha1","kind":"UpgradeReceipt","metadata":{"name":"r"},"spec":{"release":"m","kind":"Upgrade","to":"2.2.16","finishedAt":"2026-01-01T00:00:00Z"}}"#;
    let forged = apply(receipt.to_owned()).fails().await;
    assert!(forged.stderr.contains("a receipt is written by the controller only"), "{forged}");
    let status = r#"{"status":{"conditions":[{"type":"Prepared","status":"True"}]}}"#;
    let patch = ["patch", "guardedupgrade", "m", "--subresource=status", "--type=merge", "-p", status];
    let forged = sandbox.command_as(&person, Program::Kubectl, patch).fails().await;
    assert!(forged.stderr.contains("written by the controller only"), "{forged}");
    // The guard's own identity is left out of admission; what it wrote does not change.
    sandbox.plane.bind(&guarded.guard.account, &format!("person-of-{}", sandbox.namespace), &sandbox.namespace).await;
    let by_guard = |text: String| sandbox.command_as(&guarded.guard.account, Program::Kubectl, ["apply", "-n", &sandbox.namespace, "-f", "-"]).input(text);
    by_guard(receipt.to_owned()).ok().await;
    let changed = by_guard(receipt.replace("2.2.16", "2.3.0")).fails().await;
    assert!(changed.stderr.contains("a receipt does not change"), "{changed}");
}

/// A cluster with a queue elsewhere, so that few pods are needed.
pub(crate) const CLUSTER: &str =
    "etcd.replicaCount=1,minio.mode=standalone,pulsar.enabled=false,pulsarv3.enabled=false,externalKafka.enabled=true,externalKafka.brokerList=kafka:9092";

#[tokio::test]
async fn clusters_do_not_lose_their_coordinators_and_do_not_roll_back_over_a_door() {
    let Some(guarded) = Guarded::new("clusters").await else { return };
    let sandbox = &guarded.sandbox;
    let helm = |helm: Program, verb: &'static str, release: &'static str, version: &'static str, more: &'static str| {
        let chart = sandbox.chart(version);
        let values = format!("{CLUSTER}{more}");
        sandbox.helm(helm, [verb, release, chart.to_str().unwrap(), "--set", &values])
    };
    let separate =
        ",mixCoordinator.enabled=false,rootCoordinator.enabled=true,queryCoordinator.enabled=true,indexCoordinator.enabled=true,dataCoordinator.enabled=true";
    helm(Program::Helm3, "install", "s", "4.2.58", separate).ok().await;
    sandbox.wait_until_rolled_out().await;
    let before = guarded.objects().await;
    for one in HELMS {
        let mixed = &["2.6.15 while separate coordinators run", "First upgrade on chart 4.2.58"];
        guarded.refuses("MV206", mixed, &before, helm(one, "upgrade", "s", "5.0.19", "").run().await).await;
        let kept = &["would be deleted", "allow=MV711 ", "break-glass="];
        guarded.refuses("MV711", kept, &before, helm(one, "upgrade", "s", "4.2.58", "").run().await).await;
    }
    sandbox.helm(Program::Helm3, ["uninstall", "s", "--wait"]).ok().await;

    // Upgraded while nothing stopped it: 2.6 runs, and 2.5 is one revision away.
    helm(Program::Helm4, "install", "b", "4.2.58", "").ok().await;
    sandbox.wait_until_rolled_out().await;
    let admin = sandbox.plane.admin().await;
    let mode = |mode: &'static str| {
        sandbox.command_as(&admin, Program::Kubectl, ["label", "namespace", &sandbox.namespace, "--overwrite", &format!("guard.milvus-guard.dev/mode={mode}")])
    };
    mode("audit").ok().await;
    let upgraded = async || {
        helm(Program::Helm4, "upgrade", "b", "5.0.19", "").ok().await;
        sandbox.wait_until_rolled_out().await;
        sandbox.images_of("mixcoord").last().is_some_and(|image| image.ends_with("v2.6.15")).then_some(())
    };
    // The label takes a moment to arrive.
    wait("an upgrade that nothing stops", upgraded).await;
    mode("enforce").ok().await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    let before = guarded.objects().await;
    for one in HELMS {
        let back = sandbox.helm(one, ["rollback", "b", "1"]).run().await;
        guarded.refuses("MV211", &["2.6.15", "2.5.16", "Stay on 2.6.15"], &before, back).await;
    }
}

#[tokio::test]
async fn an_install_over_what_an_uninstall_left_is_held() {
    let Some(guarded) = Guarded::new("again").await else { return };
    let sandbox = &guarded.sandbox;
    for (helm, release) in [(Program::Helm3, "m"), (Program::Helm4, "n")] {
        let name = format!("{release}-milvus-standalone");
        guarded.installed(helm, release, "4.2.20", &[]).await;
        sandbox.helm(helm, ["uninstall", release, "--wait"]).ok().await;
        let again = guarded.helm(helm, "install", release, "5.0.19", &[]).await;
        assert!(again.status.success() && again.stderr.contains("MV704"), "{again}");
        assert!(guarded.is_held(&name).await);
        let blocked = guarded.deployment(&name).await.annotations().get(BLOCKED).cloned();
        assert!(blocked.is_some_and(|blocked| blocked.starts_with("MV704")));
        sandbox.helm(helm, ["uninstall", release, "--wait"]).ok().await;
    }
    assert_eq!(sandbox.images_of("standalone"), ["milvusdb/milvus:v2.4.16"]);
}
