//! Values that Flux would preserve are carried by the controller, so that they come out as Helm's `--reset-then-reuse-values` would have them; and Flux is asked again once what was refused may pass.

use futures::future::join_all;
use milvus_guard_e2e::commands::{Ended, HELMS, Program};
use milvus_guard_e2e::planted::PLANTED;
use milvus_guard_e2e::sandbox::wait;
use milvus_guard_e2e::users::User;
use milvus_guard_e2e::webhook::binary;
use serde_json::{Map, Value, json};

use crate::gitops::define;
use crate::upgrades::Upgrading;

/// Numbers that look like chance, and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// A table of few keys, so that two of them meet at many.
    fn table(&mut self, depth: u64, nulls: bool) -> Value {
        let keys = ["a", "b", "c.d", "true", "1", "x y"];
        let count = 1 + self.below(4);
        (0..count).map(|_| (keys[usize::try_from(self.below(6)).unwrap()].to_owned(), self.value(depth, nulls))).collect::<Map<_, _>>().into()
    }

    fn value(&mut self, depth: u64, nulls: bool) -> Value {
        match self.below(if depth == 0 { 7 } else { 11 }) {
            0 if nulls => Value::Null,
            0 | 1 => json!(self.below(1 << 31) * 4_096),
            2 => json!(true),
            3 => json!("yes"),
            // An API server takes no such control character in what is applied.
            4 if nulls => json!("a: b\n- \"c\" # ü 😀 \u{7f}\u{2028}"),
            4 => json!("a: b\n- \"c\" # ü 😀"),
            5 => json!([1, null, {"in": "list"}]),
            6 => json!(0.5),
            7 => json!({}),
            _ => self.table(depth - 1, nulls),
        }
    }
}

/// What Flux makes of values over others (fluxcd/pkg `chartutil`): tables are merged, all else is replaced.
fn merge(below: &mut Map<String, Value>, above: &Map<String, Value>) {
    for (key, value) in above {
        match (below.get_mut(key), value) {
            (Some(Value::Object(below)), Value::Object(above)) => merge(below, above),
            _ => drop(below.insert(key.clone(), value.clone())),
        }
    }
}

fn merged(below: &Value, above: &Value) -> Value {
    let mut all = below.as_object().unwrap().clone();
    merge(&mut all, above.as_object().unwrap());
    all.into()
}

/// Flux in a namespace with a guard.
pub(crate) struct Flux<'u> {
    pub(crate) upgrading: &'u Upgrading,
    user: User,
}

impl<'u> Flux<'u> {
    /// In a cluster that has Flux's kinds, which the controller knows of.
    pub(crate) async fn of(upgrading: &'u mut Upgrading) -> Self {
        define(&upgrading.sandbox).await;
        upgrading.controller.restart();
        upgrading.controller.wait_until_ready().await;
        let sandbox = &upgrading.sandbox;
        let user = sandbox.plane.service_account(&sandbox.namespace, "kustomize-controller").await;
        sandbox.plane.bind(&user, "cluster-admin", &sandbox.namespace).await;
        Self { upgrading, user }
    }

    async fn apply(&self, object: &Value) -> Ended {
        let arguments = ["apply", "--server-side", "--field-manager=kustomize-controller", "-f", "-"];
        self.upgrading.sandbox.command_as(&self.user, Program::Kubectl, arguments).input(object.to_string()).run().await
    }

    pub(crate) async fn applied(&self, object: &Value) -> String {
        let ended = self.apply(object).await;
        assert!(ended.status.success(), "{ended}");
        ended.stderr
    }

    pub(crate) async fn get(&self, what: &str) -> Option<Value> {
        let ended = self.upgrading.sandbox.command_as(&self.user, Program::Kubectl, ["get", what, "-o", "json", "--show-managed-fields"]).run().await;
        ended.status.success().then(|| ended.json())
    }

    pub(crate) async fn patch(&self, what: &str, patch: Value) {
        self.upgrading.sandbox.command_as(&self.user, Program::Kubectl, ["patch", what, "--type=merge", "-p", &patch.to_string()]).ok().await;
    }

    /// The values that the Secret of a HelmRelease carries, and the revision they are of.
    async fn carried(&self, name: &str) -> Option<(Value, String)> {
        let secret = self.get(&format!("secret/milvus-guard-carried-{name}")).await?;
        assert_eq!((&secret["type"], &secret["metadata"]["ownerReferences"][0]["name"]), (&json!("helm.sh/release.v1"), &json!(name)));
        assert!(secret["metadata"]["labels"].get("owner").is_none());
        let text = self
            .upgrading
            .sandbox
            .command_as(
                &self.user,
                Program::Kubectl,
                ["get", &format!("secret/milvus-guard-carried-{name}"), "-o", "go-template={{index .data \"values.yaml\" | base64decode}}"],
            )
            .ok()
            .await
            .stdout;
        let of = secret["metadata"]["annotations"]["guard.milvus-guard.dev/carried-from"].as_str().unwrap().to_owned();
        Some((serde_yaml::from_str(&text).unwrap(), of))
    }

    /// `helm VERB NAME` of a chart with values, and more arguments.
    async fn helm(&self, helm: Program, verb: &str, name: &str, version: &str, values: &Value, more: &[&str]) -> Ended {
        let sandbox = &self.upgrading.sandbox;
        let chart = sandbox.chart(version);
        let mut arguments = vec![verb, name, chart.to_str().unwrap(), "-f", "-"];
        arguments.extend(more);
        let ended = sandbox.helm(helm, arguments).input(values.to_string().replace('\u{7f}', "\\u007f").replace('\u{2028}', "\\u2028")).run().await;
        assert!(ended.status.success(), "{ended}");
        ended
    }

    /// What an upgrade would store and write: the user's values, and the rendered objects.
    async fn rendered(&self, helm: Program, name: &str, values: &Value, how: &str) -> (Value, Value) {
        let mut release = self.helm(helm, "upgrade", name, "4.2.58", values, &[how, "--dry-run=client", "-o", "json"]).await.json();
        (release["config"].take(), release["manifest"].take())
    }
}

pub(crate) fn helm_release(name: &str, values: &Value) -> Value {
    json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": format!("flux-{name}")}, "spec": {"interval": "5m", "releaseName": name,
        "chart": {"spec": {"chart": "milvus", "version": "4.2.20", "sourceRef": {"kind": "HelmRepository", "name": "zilliz"}}}, "upgrade": {"preserveValues": true}, "values": values}})
}

fn owned_by_us(object: &Value) -> bool {
    object["metadata"]["managedFields"]
        .as_array()
        .unwrap()
        .iter()
        .any(|entry| entry["manager"].as_str().is_some_and(|manager| manager.contains("milvus-guard")))
}

#[tokio::test]
async fn preserved_values_come_out_as_helm_would_reuse_them_and_go_with_the_guard() {
    let Some(mut upgrading) = Upgrading::new("carried").await else { return };
    let flux = Flux::of(&mut upgrading).await;
    let upgrading = flux.upgrading;
    let sandbox = &upgrading.sandbox;

    // Each has values from its installation, and others of the HelmRelease over them.
    let small = json!({"cluster": {"enabled": false}, "etcd": {"replicaCount": 1}, "minio": {"mode": "standalone", "secretKey": format!("{PLANTED}-carried")},
        "pulsar": {"enabled": false}, "pulsarv3": {"enabled": false}});
    let mut dice = Dice(7);
    let mut cases = Vec::new();
    for (number, helm) in HELMS.into_iter().chain(HELMS).enumerate() {
        let first = json!({"log": {"level": "debug"}, "standalone": {"resources": {"limits": {"cpu": "1"}}}, "made": dice.table(3, true)});
        let own = json!({"standalone": {"resources": {"limits": {"memory": "1Gi"}}}, "made": dice.table(3, false), "milvus": dice.value(2, false)});
        cases.push((format!("r{number}"), helm, merged(&small, &first), own));
    }
    join_all(cases.iter().map(|(name, helm, first, _)| flux.helm(*helm, "install", name, "4.2.20", first, &[]))).await;
    sandbox.wait_until_rolled_out().await;
    join_all(cases.iter().map(|(name, _, _, own)| async { flux.applied(&helm_release(name, own)).await })).await;

    for (name, helm, first, own) in &cases {
        let object = format!("helmrelease/flux-{name}");
        let taken =
            wait(&format!("the carried values of {name}"), async || flux.get(&object).await.filter(|object| object["spec"]["valuesFrom"].is_array())).await;
        assert_eq!(
            (&taken["spec"]["valuesFrom"], &taken["spec"]["upgrade"]["preserveValues"]),
            (&json!([{"kind": "Secret", "name": format!("milvus-guard-carried-flux-{name}")}]), &json!(false))
        );
        let (carried, of) = flux.carried(&format!("flux-{name}")).await.unwrap();
        assert_eq!((&carried, of.as_str()), (first, format!("{}/{name} revision 1", sandbox.namespace).as_str()));
        // Flux applies what it merged as it is.
        let ours = flux.rendered(*helm, name, &merged(&carried, own), "--reset-values").await;
        assert_eq!(ours, flux.rendered(*helm, name, own, "--reset-then-reuse-values").await, "{name}: {first} {own}");
        // Without the carried values it would come out otherwise.
        if name == "r0" {
            assert_ne!(ours, flux.rendered(*helm, name, own, "--reset-values").await);
        }
        assert_eq!(merged(&merged(&carried, own), own), merged(&carried, own), "the next revision's values are the same");
    }

    // Applied again it is no change, and no field is ours.
    let (name, helm, first, own) = &cases[0];
    let stored = async || flux.get(&format!("helmrelease/flux-{name}")).await.unwrap();
    let before = wait("that no field is ours", async || Some(stored().await).filter(|object| !owned_by_us(object))).await;
    flux.applied(&helm_release(name, own)).await;
    let after = stored().await;
    assert_eq!((&after["spec"], &after["metadata"]["annotations"]), (&before["spec"], &before["metadata"]["annotations"]));
    // The next deployed revision is carried, and one that failed is not.
    let next = merged(&merged(first, own), &json!({"log": {"level": "warn"}}));
    flux.helm(*helm, "upgrade", name, "4.2.20", &next, &["--reset-values"]).await;
    flux.patch(&format!("helmrelease/flux-{name}"), json!({"status": {"history": [{"version": 2, "status": "deployed"}]}})).await;
    let refreshed = wait("the values of revision 2", async || flux.carried(&format!("flux-{name}")).await.filter(|(_, of)| of.ends_with(" revision 2"))).await;
    assert_eq!(refreshed.0, next);
    // A null over carried values means something else than over reused ones.
    let told = flux.applied(&helm_release(name, &json!({"log": null}))).await;
    assert!(told.contains("upgrade.preserveValues stays: spec.values has a null"), "{told}");
    let object = stored().await;
    assert_eq!((&object["spec"]["upgrade"]["preserveValues"], object["spec"].get("valuesFrom")), (&json!(true), None));
    flux.applied(&helm_release(name, own)).await;
    assert_eq!(stored().await["spec"]["upgrade"]["preserveValues"], false);
    // Who no longer asks for it loses both.
    let mut plain = helm_release(name, own);
    plain["spec"]["upgrade"] = json!({"timeout": "5m"});
    flux.applied(&plain).await;
    assert_eq!(stored().await["spec"].get("valuesFrom"), None);
    wait("that its Secret is gone", async || flux.get(&format!("secret/milvus-guard-carried-flux-{name}")).await.is_none().then_some(())).await;

    // Refused, and nothing was declared or waived: Flux is not asked. Then once for each change, though it is refused each time.
    let refusal = "create: failed to create: admission webhook \"helm-storage.guard.milvus-guard.dev\" denied the request: MV711: ...";
    flux.patch("helmrelease/flux-r1", json!({"status": {"conditions": [{"type": "Ready", "status": "False", "message": refusal}]}})).await;
    let failed = json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": "apps"}, "status": {"conditions":
        [{"type": "Ready", "status": "False", "message": format!("HelmRelease/{}/flux-r2 apply failed: admission webhook \"helmreleases.guard.milvus-guard.dev\" denied the request: MV201: ...", sandbox.namespace)}]}});
    flux.applied(&failed).await;
    let asked = async |what: &str, key: &str| {
        let object = flux.get(what).await.unwrap();
        let said = object["metadata"]["annotations"][format!("reconcile.fluxcd.io/{key}")].as_str().unwrap_or_default().to_owned();
        (said.starts_with("milvus-guard-") && !said.contains("carried") && !owned_by_us(&object)).then_some(said)
    };
    // What the controller says of a declaration may change once more; then Flux is left in peace.
    let settles = async |what: &str, key: &str, before: &str| {
        wait(&format!("that {what} is asked again"), async || {
            let said = asked(what, key).await.filter(|said| said != before)?;
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
            asked(what, key).await.filter(|now| *now == said)
        })
        .await
    };
    assert_eq!((asked("helmrelease/flux-r1", "resetAt").await, asked("kustomization/apps", "requestedAt").await), (None, None));
    let upgrade = json!({"apiVersion": "guard.milvus-guard.dev/v1alpha1", "kind": "GuardedUpgrade", "metadata": {"name": "r1"}, "spec": {"to": "2.5.16"}});
    flux.applied(&upgrade).await;
    let declared = settles("helmrelease/flux-r1", "resetAt", "").await;
    let object = flux.get("helmrelease/flux-r1").await.unwrap();
    assert_eq!(object["metadata"]["annotations"]["reconcile.fluxcd.io/requestedAt"], declared.as_str());
    let applied = settles("kustomization/apps", "requestedAt", "").await;
    // A person asks as well: that is no change of ours.
    flux.patch("helmrelease/flux-r1", json!({"metadata": {"annotations": {"reconcile.fluxcd.io/requestedAt": "2026-11-21T12:00:00Z"}}})).await;
    let waive = ["annotate", "namespace", &sandbox.namespace, "guard.milvus-guard.dev/allow=MV711 reason=tested"];
    sandbox.command_as(&sandbox.plane.admin().await, Program::Kubectl, waive).ok().await;
    assert_ne!(settles("helmrelease/flux-r1", "resetAt", &declared).await, declared);
    settles("kustomization/apps", "requestedAt", &applied).await;

    // The guard leaves, with its controller at work: the HelmReleases are as they were, and no Secret stays or comes back.
    let (_, _, _, waiting) = &cases[3];
    let mut command = tokio::process::Command::new(binary());
    command.args(["cleanup", "--force", "--namespace", &sandbox.namespace, &format!("--configuration={}", upgrading.guard.name)]);
    let left = command.env("KUBECONFIG", sandbox.plane.admin_kubeconfig()).output().await.unwrap();
    assert!(left.status.success() && !String::from_utf8_lossy(&left.stdout).contains(PLANTED), "{left:?}");
    assert_eq!(stored().await["spec"]["upgrade"], json!({"timeout": "5m"}));
    for (name, _, _, own) in &cases[1..] {
        let object = flux.get(&format!("helmrelease/flux-{name}")).await.unwrap();
        assert_eq!((&object["spec"]["upgrade"]["preserveValues"], object["spec"].get("valuesFrom"), &object["spec"]["values"]), (&json!(true), None, own));
        assert!(!owned_by_us(&object), "{object}");
    }
    // Where nobody puts it in, none is made.
    flux.applied(&helm_release("r3", &merged(waiting, &json!({"more": 1})))).await;
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    for (name, ..) in &cases {
        wait(&format!("that the Secret of {name} is gone"), async || {
            flux.get(&format!("secret/milvus-guard-carried-flux-{name}")).await.is_none().then_some(())
        })
        .await;
    }
}
