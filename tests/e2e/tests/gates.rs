//! The gates before a real API server: real Helm and kubectl are refused cleanly, held, or let through.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::DeleteParams;
use milvus_guard_e2e::commands::{Ended, HELMS, Program};
use milvus_guard_e2e::sandbox::{Sandbox, wait};
use milvus_guard_e2e::webhook::{Guard, Registered, register};

const HOLD: &str = "guard.milvus-guard.dev/hold";

/// One small Milvus: a standalone with one etcd and one MinIO.
const SMALL: &str = "cluster.enabled=false,etcd.replicaCount=1,minio.mode=standalone,pulsar.enabled=false,pulsarv3.enabled=false";

const GATES: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: NAME}
webhooks:
- name: helm-storage.guard.milvus-guard.dev
  admissionReviewVersions: [v1]
  sideEffects: NoneOnDryRun
  failurePolicy: Fail
  timeoutSeconds: 10
  clientConfig: {service: {name: milvus-guard, namespace: milvus-guard, path: /gates/helm-storage}}
  objectSelector: {matchLabels: {owner: helm}}
  rules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [secrets, configmaps]}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: NAME}
webhooks:
- name: workloads.guard.milvus-guard.dev
  admissionReviewVersions: [v1]
  sideEffects: NoneOnDryRun
  failurePolicy: Fail
  timeoutSeconds: 10
  clientConfig: {service: {name: milvus-guard, namespace: milvus-guard, path: /gates/workload}}
  matchConditions:
  - {name: not-a-system-user, expression: \"!['system:kube-', 'system:serviceaccount:kube-system:'].exists(p, request.userInfo.username.startsWith(p))\"}
  rules: [{apiGroups: [apps], apiVersions: [v1], operations: [CREATE, UPDATE], resources: [deployments, deployments/scale, statefulsets]}]
- name: gitops.guard.milvus-guard.dev
  admissionReviewVersions: [v1]
  sideEffects: NoneOnDryRun
  failurePolicy: Fail
  timeoutSeconds: 10
  clientConfig: {service: {name: milvus-guard, namespace: milvus-guard, path: /gates/gitops}}
  rules: [{apiGroups: [helm.toolkit.fluxcd.io], apiVersions: ['*'], operations: [CREATE, UPDATE], resources: [helmreleases]}]
";

/// A sandbox with the gates before it.
pub(crate) struct Guarded {
    pub(crate) sandbox: Sandbox,
    _guard: Guard,
    _registered: Registered,
}

impl Guarded {
    pub(crate) async fn new(name: &str) -> Option<Self> {
        let sandbox = Sandbox::new(name).await?;
        let user = sandbox.plane.admin().await;
        let guard = Guard::start(sandbox.plane, &user, &sandbox.namespace, &[]).await;
        let manifests = GATES.replace("NAME", &sandbox.namespace);
        let registered = register(&sandbox.admin, &user.kubeconfig, &manifests, guard.authority().certificate(), guard.port(), &[&sandbox.namespace]).await;
        Some(Self { sandbox, _guard: guard, _registered: registered })
    }

    /// `helm VERB RELEASE CHART --set SMALL MORE`.
    async fn helm(&self, helm: Program, verb: &str, release: &str, version: &str, more: &[&str]) -> Ended {
        let chart = self.sandbox.chart(version);
        let mut arguments = vec![verb, release, chart.to_str().unwrap(), "--set", SMALL];
        arguments.extend(more);
        self.sandbox.helm(helm, arguments).run().await
    }

    pub(crate) async fn installed(&self, helm: Program, release: &str, version: &str, more: &[&str]) {
        let ended = self.helm(helm, "install", release, version, more).await;
        assert!(ended.status.success(), "{ended}");
        self.sandbox.wait_until_rolled_out().await;
    }

    /// Every object of the namespace, word for word, once nothing moves any more.
    async fn objects(&self) -> String {
        let read = async || {
            self.sandbox
                .kubectl(["get", "deployments,statefulsets,replicasets,pods,services,configmaps,secrets,pvc,serviceaccounts,jobs", "-o", "yaml"])
                .ok()
                .await
                .stdout
        };
        let mut last = read().await;
        wait("a namespace that does not move", async || {
            tokio::time::sleep(std::time::Duration::from_millis(400)).await;
            let now = read().await;
            let is_same = now == last;
            last.clone_from(&now);
            is_same.then_some(now)
        })
        .await
    }

    /// Refused with this rule, and nothing was touched.
    async fn refuses(&self, rule: &str, before: &str, ended: Ended) {
        assert!(!ended.status.success(), "{rule} was let through: {ended}");
        assert!(ended.stderr.contains("denied the request") && ended.stderr.contains(rule), "{rule}: {ended}");
        assert_eq!(self.objects().await, before, "{rule} left something behind");
    }

    async fn deployment(&self, name: &str) -> Deployment {
        self.sandbox.api::<Deployment>().get(name).await.unwrap()
    }

    async fn is_held(&self, name: &str) -> bool {
        let deployment = self.deployment(name).await;
        let is_paused = deployment.spec.as_ref().and_then(|spec| spec.paused) == Some(true);
        assert_eq!(is_paused, deployment.annotations().contains_key(HOLD), "{:?}", deployment.annotations());
        is_paused
    }
}

#[tokio::test]
async fn unsafe_upgrades_are_refused_and_leave_the_namespace_as_it_was() {
    for helm in HELMS {
        let Some(guarded) = Guarded::new(&format!("refused-{}", helm.file())).await else { return };
        guarded.installed(helm, "m", "4.2.20", &[]).await;
        let before = guarded.objects().await;
        let atomic = if helm == Program::Helm3 { "--atomic" } else { "--rollback-on-failure" };
        let table: &[(&str, &str, &str, &[&str])] = &[
            ("MV205", "upgrade", "5.0.19", &[]),
            ("MV205", "upgrade", "5.0.19", &[atomic, "--timeout=60s"]),
            ("MV205", "upgrade", "5.0.19", &["--wait", "--install"]),
            ("MV205", "upgrade", "5.0.19", &["--set", "nameOverride=vec"]),
            ("MV401", "upgrade", "4.2.20", &["--set", "standalone.messageQueue=natsmq"]),
            ("MV110", "upgrade", "4.2.10", &[]),
            ("MV211", "upgrade", "3.2.18", &[]),
        ];
        for (rule, verb, version, more) in table {
            let ended = guarded.helm(helm, verb, "m", version, more).await;
            guarded.refuses(rule, &before, ended).await;
        }
        // A safe one passes, and what it changes runs.
        let safe = guarded.helm(helm, "upgrade", "m", "4.2.20", &["--set", "standalone.resources.limits.cpu=2", "--wait"]).await;
        assert!(safe.status.success(), "{safe}");
        assert!(!guarded.is_held("m-milvus-standalone").await);
    }
}

#[tokio::test]
async fn other_drivers_wrappers_and_reused_values_are_seen_through() {
    let Some(guarded) = Guarded::new("seen-through").await else { return };
    let sandbox = &guarded.sandbox;
    // The ConfigMap driver.
    let map = |verb: &'static str, version: &'static str| {
        let chart = sandbox.chart(version);
        sandbox.helm(Program::Helm3, [verb, "c", chart.to_str().unwrap(), "--set", SMALL]).env("HELM_DRIVER", "configmap")
    };
    map("install", "4.2.20").ok().await;
    // A wrapper with an alias.
    let below = SMALL.split(',').map(|one| format!("vec.{one}")).collect::<Vec<_>>().join(",");
    let wrapper = |verb: &'static str, version: &'static str, below: &str| {
        let chart = milvus_guard_e2e::chart::umbrella("search", version, Some("vec"), "{}");
        sandbox.helm(Program::Helm4, [verb, "u", chart.to_str().unwrap(), "--set", below])
    };
    wrapper("install", "4.2.20", &below).ok().await;
    guarded.installed(Program::Helm3, "r", "4.1.24", &[]).await;
    let before = guarded.objects().await;
    guarded.refuses("MV205", &before, map("upgrade", "5.0.19").run().await).await;
    guarded.refuses("MV205", &before, wrapper("upgrade", "5.0.19", &below).run().await).await;
    for helm in HELMS {
        let reused = guarded.helm(helm, "upgrade", "r", "4.2.20", &["--reuse-values"]).await;
        guarded.refuses("MV108", &before, reused).await;
    }
}

#[tokio::test]
async fn an_admitted_upgrade_is_held_and_stays_held() {
    for helm in HELMS {
        let Some(guarded) = Guarded::new(&format!("held-{}", helm.file())).await else { return };
        let sandbox = &guarded.sandbox;
        guarded.installed(helm, "m", "4.2.20", &[]).await;
        let starts = sandbox.starts().len();
        let name = "m-milvus-standalone";
        let held = guarded.helm(helm, "upgrade", "m", "4.2.58", &["--wait", "--timeout=60s"]).await;
        assert!(held.status.success() && held.stderr.contains("is held"), "{held}");
        assert!(guarded.is_held(name).await);
        // Whatever is done to it.
        let force: &[&str] = if helm == Program::Helm3 { &["--force"] } else { &["--force-replace", "--server-side=false"] };
        guarded.helm(helm, "upgrade", "m", "4.2.58", force).await;
        assert!(guarded.is_held(name).await);
        sandbox.kubectl(["rollout", "resume", &format!("deployment/{name}")]).run().await;
        assert!(guarded.is_held(name).await);
        let mut live: serde_json::Value = sandbox.kubectl(["get", "deployment", name, "-o", "json"]).ok().await.json();
        live["spec"]["paused"] = serde_json::json!(false);
        live["metadata"]["annotations"].as_object_mut().unwrap().retain(|key, _| !key.starts_with("guard."));
        sandbox.kubectl(["replace", "-f", "-"]).input(live.to_string()).ok().await;
        assert!(guarded.is_held(name).await);
        // On top of it, what is illegal from what runs.
        let on_top = guarded.helm(helm, "upgrade", "m", "5.0.19", &[]).await;
        assert!(!on_top.status.success() && on_top.stderr.contains("MV205"), "{on_top}");
        // No pod of the release was replaced, and one that is killed comes back as it was.
        assert_eq!(sandbox.starts().len(), starts);
        let pod = sandbox.pods().await.into_iter().find(|pod| pod.labels().get("component").is_some_and(|component| component == "standalone")).unwrap();
        sandbox.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default()).await.unwrap();
        wait("a new pod", async || (sandbox.starts().len() > starts).then_some(())).await;
        assert_eq!(sandbox.images_of("standalone"), ["milvusdb/milvus:v2.4.16"]);
        // Back to what runs: nothing is held.
        let back = sandbox.helm(helm, ["rollback", "m", "1"]).run().await;
        assert!(back.status.success(), "{back}");
        assert!(!guarded.is_held(name).await);
        sandbox.wait_until_rolled_out().await;
        assert_eq!(sandbox.images_of("standalone"), ["milvusdb/milvus:v2.4.16"]);
    }
}

#[tokio::test]
async fn kubectl_is_held_for_an_image_and_not_for_a_restart() {
    let Some(guarded) = Guarded::new("kubectl").await else { return };
    let sandbox = &guarded.sandbox;
    guarded.installed(Program::Helm3, "m", "4.2.20", &[]).await;
    let name = "m-milvus-standalone";
    sandbox.kubectl(["rollout", "restart", &format!("deployment/{name}")]).ok().await;
    assert!(!guarded.is_held(name).await);
    sandbox.wait_until_rolled_out().await;
    let set = sandbox.kubectl(["set", "image", &format!("deployment/{name}"), "standalone=milvusdb/milvus:v2.5.16"]).ok().await;
    assert!(set.stderr.contains("is held"), "{set}");
    assert!(guarded.is_held(name).await);
    sandbox.kubectl(["scale", &format!("deployment/{name}"), "--replicas=1"]).ok().await;
    sandbox.kubectl(["set", "image", &format!("deployment/{name}"), "standalone=milvusdb/milvus:v2.6.15"]).ok().await;
    let blocked = guarded.deployment(name).await.annotations().get("guard.milvus-guard.dev/blocked").cloned();
    assert!(blocked.is_some_and(|blocked| blocked.starts_with("MV205")));
    sandbox.kubectl(["set", "image", &format!("deployment/{name}"), "standalone=milvusdb/milvus:v2.4.16"]).ok().await;
    assert!(!guarded.is_held(name).await);
    assert_eq!(sandbox.images_of("standalone"), ["milvusdb/milvus:v2.4.16"]);
}

/// The definitions of our own objects, as the chart brings them.
pub(crate) async fn define_own_objects(sandbox: &Sandbox) {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../webhook/src/api");
    let admin = sandbox.plane.admin().await;
    for file in ["guardedupgrades.yaml", "upgradereceipts.yaml"] {
        let path = folder.join(file);
        sandbox.command_as(&admin, Program::Kubectl, ["apply", "--server-side", "--force-conflicts", "-f", path.to_str().unwrap()]).ok().await;
    }
    for plural in ["guardedupgrades", "upgradereceipts"] {
        let name = format!("crd/{plural}.guard.milvus-guard.dev");
        sandbox.command_as(&admin, Program::Kubectl, ["wait", "--for=condition=Established", &name]).ok().await;
    }
}

#[tokio::test]
async fn a_door_opens_for_the_declaration_that_the_refusal_prints() {
    let Some(guarded) = Guarded::new("door").await else { return };
    let sandbox = &guarded.sandbox;
    define_own_objects(sandbox).await;
    guarded.installed(Program::Helm3, "m", "3.2.18", &[]).await;
    let before = guarded.objects().await;
    // MinIO stays what it is: its own door (MV503) is another matter.
    let to = ["--set", "image.all.tag=v2.2.16,minio.image.tag=RELEASE.2022-03-17T06-34-49Z"];
    for helm in HELMS {
        let refused = guarded.helm(helm, "upgrade", "m", "4.0.31", &to).await;
        guarded.refuses("MV201", &before, refused).await;
    }
    let refused = guarded.helm(Program::Helm3, "upgrade", "m", "4.0.31", &to).await;
    let object = refused.stderr.split("<<< '").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    let admin = sandbox.plane.admin().await;
    sandbox.command_as(&admin, Program::Kubectl, ["apply", "-n", &sandbox.namespace, "-f", "-"]).input(object).ok().await;
    // At once: the cache may not know yet, so the API server is asked.
    let passed = guarded.helm(Program::Helm3, "upgrade", "m", "4.0.31", &to).await;
    assert!(passed.status.success(), "{passed}");
    assert!(guarded.is_held("m-milvus-standalone").await);
    assert_eq!(sandbox.images_of("standalone"), ["milvusdb/milvus:v2.1.4"]);
    // What is no version is refused by the schema.
    let wrong = r#"{"apiVersion":"guard.milvus-guard.dev/v1alpha1","kind":"GuardedUpgrade","metadata":{"name":"n"},"spec":{"to":"newest"}}"#;
    sandbox.command_as(&admin, Program::Kubectl, ["apply", "-n", &sandbox.namespace, "-f", "-"]).input(wrong).fails().await;
    let receipt = r#"{"apiVersion":"guard.milvus-guard.dev/v1alpha1","kind":"UpgradeReceipt","metadata":{"name":"r"},"spec":{"release":"m","kind":"Upgrade","to":"2.2.16","finishedAt":"2026-01-01T00:00:00Z"}}"#;
    let apply = |text: String| sandbox.command_as(&admin, Program::Kubectl, ["apply", "-n", &sandbox.namespace, "-f", "-"]).input(text);
    apply(receipt.to_owned()).ok().await;
    let changed = apply(receipt.replace("2.2.16", "2.3.0")).fails().await;
    assert!(changed.stderr.contains("a receipt does not change"), "{changed}");
}

/// A cluster with a queue elsewhere, so that few pods are needed.
const CLUSTER: &str =
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
        guarded.refuses("MV206", &before, helm(one, "upgrade", "s", "5.0.19", "").run().await).await;
        guarded.refuses("MV711", &before, helm(one, "upgrade", "s", "4.2.58", "").run().await).await;
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
    let back = sandbox.helm(Program::Helm4, ["rollback", "b", "1"]).run().await;
    guarded.refuses("MV211", &before, back).await;
}

#[tokio::test]
async fn an_install_over_what_an_uninstall_left_is_held() {
    let Some(guarded) = Guarded::new("again").await else { return };
    let sandbox = &guarded.sandbox;
    guarded.installed(Program::Helm3, "m", "4.2.20", &[]).await;
    sandbox.helm(Program::Helm3, ["uninstall", "m", "--wait"]).ok().await;
    let again = guarded.helm(Program::Helm3, "install", "m", "5.0.19", &[]).await;
    assert!(again.status.success() && again.stderr.contains("MV704"), "{again}");
    assert!(guarded.is_held("m-milvus-standalone").await);
    let blocked = guarded.deployment("m-milvus-standalone").await.annotations().get("guard.milvus-guard.dev/blocked").cloned();
    assert!(blocked.is_some_and(|blocked| blocked.starts_with("MV704")));
    assert_eq!(sandbox.images_of("standalone"), ["milvusdb/milvus:v2.4.16"]);
}

#[tokio::test]
async fn rendered_manifests_are_held_however_they_are_applied() {
    let Some(guarded) = Guarded::new("rendered").await else { return };
    let sandbox = &guarded.sandbox;
    let account = sandbox.plane.service_account(&sandbox.namespace, "argocd").await;
    sandbox.plane.bind(&account, "admin", &sandbox.namespace).await;
    let render = async |version: &str| {
        let chart = sandbox.chart(version);
        sandbox.helm(Program::Helm3, ["template", "m", chart.to_str().unwrap(), "--namespace", &sandbox.namespace, "--set", SMALL]).ok().await.stdout
    };
    let (before, after) = (render("4.2.20").await, render("4.2.58").await);
    let apply = async |text: &str, more: &[&str]| {
        let mut arguments = vec!["apply", "-n", sandbox.namespace.as_str(), "-f", "-"];
        arguments.extend(more);
        sandbox.command_as(&account, Program::Kubectl, arguments).input(text).ok().await
    };
    apply(&before, &[]).await;
    sandbox.wait_until_rolled_out().await;
    for more in [&[] as &[&str], &["--server-side", "--force-conflicts"], &[]] {
        for _again in 0..3 {
            apply(&after, more).await;
            assert!(guarded.is_held("m-milvus-standalone").await, "{more:?}");
        }
    }
    assert_eq!(sandbox.images_of("standalone"), ["milvusdb/milvus:v2.4.16"]);
    apply(&before, &[]).await;
    assert!(!guarded.is_held("m-milvus-standalone").await);
}
