//! Every right that the chart grants is needed, and none is missing: the guard starts without any, is given what the API server denied it, and ends with
//! what the chart grants. So a verb taken from the chart, or one too many in it, fails here by its name.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule, Role};
use kube::api::{Api, Patch, PatchParams};
use milvus_guard_e2e::commands::{Ended, Program};
use milvus_guard_e2e::kubelet::Behaviour;
use milvus_guard_e2e::sandbox::{Sandbox, wait};
use milvus_guard_e2e::users::User;
use milvus_guard_e2e::webhook::{Installed, binary};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::carried::{Flux, helm_release};
use crate::gates::SMALL;
use crate::gitops::define;
use crate::upgrades::Upgrading;

/// One verb on one kind of object, or on one object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Right {
    verb: String,
    group: String,
    resource: String,
    /// Where only one object is meant.
    name: Option<String>,
    /// Where it is asked for, or where only one is meant.
    namespace: Option<String>,
}

impl Right {
    fn covers(&self, asked: &Self) -> bool {
        let is_there = |limit: &Option<String>, asked: &Option<String>| limit.is_none() || limit == asked;
        (&self.verb, &self.group, &self.resource) == (&asked.verb, &asked.group, &asked.resource)
            && is_there(&self.name, &asked.name)
            && is_there(&self.namespace, &asked.namespace)
    }

    fn rule(&self) -> Value {
        let names: Vec<&String> = self.name.iter().collect();
        json!({"apiGroups": [self.group], "resources": [self.resource], "verbs": [self.verb], "resourceNames": names})
    }
}

/// All rights of some rules, which count in one namespace, or everywhere.
fn rights(rules: &[PolicyRule], namespace: Option<&str>) -> BTreeSet<Right> {
    let mut all = BTreeSet::new();
    for rule in rules {
        let names: Vec<Option<String>> = rule.resource_names.iter().flatten().cloned().map(Some).collect();
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    for name in if names.is_empty() { vec![None] } else { names.clone() } {
                        let namespace = namespace.map(str::to_owned);
                        all.insert(Right { verb: verb.clone(), group: group.clone(), resource: resource.clone(), name, namespace });
                    }
                }
            }
        }
    }
    all
}

/// A role of the guard's, with less in it than the chart wrote.
struct Granted {
    /// In a namespace; else of the cluster.
    namespace: Option<String>,
    role: String,
    by_the_chart: BTreeSet<Right>,
    so_far: BTreeSet<Right>,
}

impl Granted {
    async fn write(&self, admin: &User) {
        let rules: Vec<Value> = self.so_far.iter().map(Right::rule).collect();
        let patch = Patch::Merge(json!({"rules": rules}));
        match &self.namespace {
            Some(namespace) => drop(Api::<Role>::namespaced(admin.client.clone(), namespace).patch(&self.role, &PatchParams::default(), &patch).await.unwrap()),
            None => drop(Api::<ClusterRole>::all(admin.client.clone()).patch(&self.role, &PatchParams::default(), &patch).await.unwrap()),
        }
    }
}

/// What one user asked of the API server and was denied.
struct Denials<'s> {
    sandbox: &'s Sandbox,
    user: String,
    /// Bytes of the audit log that were read.
    read: usize,
}

impl<'s> Denials<'s> {
    fn of(sandbox: &'s Sandbox, user: &str) -> Self {
        let mut new = Self { sandbox, user: user.to_owned(), read: 0 };
        new.next();
        new
    }

    /// Since the last time.
    fn next(&mut self) -> BTreeSet<Right> {
        let log = std::fs::read(self.sandbox.plane.audit_log()).unwrap();
        let whole = log.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let text = String::from_utf8_lossy(&log[self.read.min(whole)..whole]).into_owned();
        self.read = whole;
        text.lines().filter(|line| line.contains(&self.user) && line.contains(r#""forbid""#)).filter_map(|line| self.denied(line)).collect()
    }

    fn denied(&self, line: &str) -> Option<Right> {
        let event: Value = serde_json::from_str(line).unwrap();
        let is_it = event["user"]["username"] == self.user.as_str() && event["annotations"]["authorization.k8s.io/decision"] == "forbid";
        let about = |key: &str| event["objectRef"][key].as_str().unwrap_or_default().to_owned();
        let verb = event["verb"].as_str().unwrap().to_owned();
        is_it.then(|| Right { verb, group: about("apiGroup"), resource: about("resource"), name: Some(about("name")), namespace: Some(about("namespace")) })
    }
}

/// Grants what was denied; whether there was anything.
async fn grant(granted: &mut [Granted], denials: &mut Denials<'_>, admin: &User) -> bool {
    let mut is_more = false;
    for denied in denials.next() {
        let mut all = granted.iter_mut();
        let role = all.find(|role| role.by_the_chart.iter().any(|right| right.covers(&denied)));
        let role = role.unwrap_or_else(|| panic!("{} is denied this, and the chart does not grant it: {denied:?}", denials.user));
        let right = role.by_the_chart.iter().find(|right| right.covers(&denied)).unwrap().clone();
        if role.so_far.insert(right) {
            role.write(admin).await;
            is_more = true;
        }
    }
    is_more
}

fn missing(granted: &[Granted]) -> Vec<&Right> {
    granted.iter().flat_map(|role| role.by_the_chart.difference(&role.so_far)).collect()
}

/// Does `act` again and again, and grants what was denied, until all that the chart grants was asked for. Then once more: nothing is denied.
async fn discover(granted: &mut [Granted], denials: &mut Denials<'_>, admin: &User, mut act: impl AsyncFnMut()) {
    let begin = Instant::now();
    while !missing(granted).is_empty() {
        assert!(begin.elapsed() < Duration::from_secs(120), "granted by the chart, and never asked for: {:?}", missing(granted));
        act().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        grant(granted, denials, admin).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    denials.next();
    act().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(denials.next(), BTreeSet::new(), "denied although all is granted");
}

/// Three releases: one whose upgrade is unsafe, the same stored in ConfigMaps, and one that a declaration would let through.
struct Upgrades<'s>(&'s Sandbox);

impl Upgrades<'_> {
    async fn run(&self, verb: &str, release: &str, version: &str, more: &str) -> Ended {
        let chart = self.0.chart(version);
        let set = if more.is_empty() { SMALL.to_owned() } else { format!("{SMALL},{more}") };
        let driver = if release == "c" { "configmap" } else { "secret" };
        let command = self.0.helm(Program::Helm3, [verb, release, chart.to_str().unwrap(), "--set", &set]).env("HELM_DRIVER", driver);
        command.run().await
    }

    async fn install(&self) {
        let all = [self.run("install", "m", "4.2.20", ""), self.run("install", "c", "4.2.20", ""), self.run("install", "d", "3.2.18", "")];
        futures::future::join_all(all).await.iter().for_each(|ended| assert!(ended.status.success(), "{ended}"));
        self.0.wait_until_rolled_out().await;
    }

    /// Each is refused, whatever the guard may read: with a verdict, or in doubt.
    async fn refused(&self) {
        let door = "image.all.tag=v2.2.16,minio.image.tag=RELEASE.2022-03-17T06-34-49Z";
        let all = [self.run("upgrade", "m", "5.0.19", ""), self.run("upgrade", "c", "5.0.19", ""), self.run("upgrade", "d", "4.0.31", door)];
        futures::future::join_all(all).await.iter().for_each(|ended| assert!(ended.stderr.contains("denied the request"), "{ended}"));
    }
}

#[tokio::test]
async fn every_right_of_the_chart_is_needed_and_none_is_missing() {
    let Some(sandbox) = Sandbox::new("rights").await else { return };
    let admin = sandbox.plane.admin().await;
    define(&sandbox).await;
    let upgrades = Upgrades(&sandbox);
    upgrades.install().await;
    // Soon tried again; and in doubt a release is refused, so that nothing moves while a right is missing.
    let only_here = format!("rbac.releaseNamespaces={{{}}}", sandbox.namespace);
    let sets =
        ["extraArgs={--certificate-poll=1s,--registration-poll=1s}", "gates.helmStorage.doubt=refuse", "gates.helmStorage.failurePolicy=Fail", &only_here];
    let mut guard = Installed::not_started(sandbox.plane, "rights", &[&sandbox.namespace], &sets).await;

    let roles: Api<ClusterRole> = Api::all(admin.client.clone());
    let own: Api<Role> = Api::namespaced(admin.client.clone(), &guard.namespace);
    let releases = format!("{}-releases", guard.name);
    let rules_of = async |name: &str| roles.get(name).await.unwrap().rules.unwrap();
    let granted_by = |kept_in: Option<&str>, role: &str, rules: &[PolicyRule], counts_in: Option<&str>| Granted {
        namespace: kept_in.map(str::to_owned),
        role: role.to_owned(),
        by_the_chart: rights(rules, counts_in),
        so_far: BTreeSet::new(),
    };
    let mut granted = [
        granted_by(None, &guard.name, &rules_of(&guard.name).await, None),
        granted_by(None, &releases, &rules_of(&releases).await, Some(&sandbox.namespace)),
        granted_by(Some(&guard.namespace), &guard.name, &own.get(&guard.name).await.unwrap().rules.unwrap(), Some(&guard.namespace)),
    ];
    for role in &granted {
        role.write(&admin).await;
    }
    // Roles are in force a moment after they are stored.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut denials = Denials::of(&sandbox, &guard.account.name);
    guard.start(1);
    let begin = Instant::now();
    while guard.replicas[0].metric("milvus_guard_registered", "") < 1.0 {
        assert!(begin.elapsed() < Duration::from_secs(120), "not registered: {}", guard.replicas[0].process().tail());
        grant(&mut granted, &mut denials, &admin).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    guard.wait_until_registered().await;
    discover(&mut granted, &mut denials, &admin, async || upgrades.refused().await).await;

    // Leaving has rights of its own. Something of each kind is to be put back.
    let held = upgrades.run("upgrade", "m", "4.2.58", "").await;
    assert!(held.status.success(), "{held}");
    let namespace = sandbox.namespace.as_str();
    let apply = async |object: Value| {
        sandbox.command_as(&admin, Program::Kubectl, ["apply", "--server-side", "-n", namespace, "-f", "-"]).input(object.to_string()).ok().await;
    };
    apply(json!({"apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease", "metadata": {"name": "x"}, "spec": {"upgrade": {"preserveValues": false},
        "valuesFrom": [{"kind": "Secret", "name": "milvus-guard-carried-x"}]}}))
    .await;
    apply(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "milvus-guard-carried-x"}})).await;
    let fence = json!({"name": "a-fence-left-over", "labels": {"guard.milvus-guard.dev/fence": "m", "guard.milvus-guard.dev/fence-namespace": namespace}});
    let (api, rules) =
        ("admissionregistration.k8s.io/v1", json!([{"apiGroups": ["example.com"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["nothing"]}]));
    apply(json!({"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": fence,
        "spec": {"matchConstraints": {"resourceRules": rules}, "validations": [{"expression": "true"}]}}))
    .await;
    apply(json!({"apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": fence, "spec": {"policyName": "a-fence-left-over", "validationActions": ["Deny"]}}))
    .await;
    let note = async |what: &str, note: &str| {
        let note = format!("guard.milvus-guard.dev/{note}");
        sandbox.command_as(&admin, Program::Kubectl, ["annotate", what, &note, "--overwrite", "-n", namespace]).ok().await;
    };
    note("pvc/data-m-etcd-0", "marks=helm.sh/resource-policy").await;
    let hooks = guard.helm(Program::Helm3, "get hooks", &[]).ok().await.stdout;
    let hooks: Vec<Value> = serde_yaml::Deserializer::from_str(&hooks).map(|document| Value::deserialize(document).unwrap()).collect();
    let name = format!("{}-cleanup", guard.name);
    let role: ClusterRole = serde_json::from_value(hooks.iter().find(|object| object["kind"] == "ClusterRole").unwrap().clone()).unwrap();
    let account = sandbox.plane.service_account(&guard.namespace, &name).await;
    sandbox.plane.cluster_role(&name, json!([])).await;
    sandbox.plane.bind_everywhere(&account, &name).await;
    let mut granted = [granted_by(None, &name, &role.rules.unwrap(), None)];
    let mut denials = Denials::of(&sandbox, &account.name);
    let configuration = format!("--configuration={}", guard.name);
    discover(&mut granted, &mut denials, &admin, async || {
        // While the gates are in force they take a note off that says nothing.
        note("configmap/m-milvus", "serving-configuration={}").await;
        let mut command = tokio::process::Command::new(binary());
        // Only here: other tests hold things elsewhere.
        command.args(["cleanup", "--force", "--namespace", namespace, &configuration]).env("KUBECONFIG", &account.kubeconfig);
        command.output().await.unwrap();
    })
    .await;
    // The chart's own binding stays, and the revisions that Kubernetes keeps as history.
    let objects = sandbox.objects().await;
    let others = objects.iter().filter(|(key, _)| !key.starts_with("RoleBinding/") && !key.starts_with("ControllerRevision/"));
    let left: Vec<&String> = others.filter(|(_, object)| object.contains("milvus-guard")).map(|(key, _)| key).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What a user asked of the API server, and what of it was denied.
pub(crate) fn asked(sandbox: &Sandbox, user: &str) -> (BTreeSet<Asked>, BTreeSet<Asked>) {
    let log = std::fs::read(sandbox.plane.audit_log()).unwrap();
    let text = String::from_utf8_lossy(&log);
    let events = text.lines().filter(|line| line.contains(user)).map(|line| serde_json::from_str::<Value>(line).unwrap());
    let (mut all, mut denied) = (BTreeSet::new(), BTreeSet::new());
    for event in events.filter(|event| event["user"]["username"] == user && !event["objectRef"].is_null()) {
        let about = |key: &str| event["objectRef"][key].as_str().unwrap_or_default().to_owned();
        let resource = if about("subresource").is_empty() { about("resource") } else { format!("{}/{}", about("resource"), about("subresource")) };
        let one = (event["verb"].as_str().unwrap().to_owned(), about("apiGroup"), resource);
        if event["annotations"]["authorization.k8s.io/decision"] == "forbid" {
            denied.insert(one.clone());
        }
        all.insert(one);
    }
    (all, denied)
}

type Asked = (String, String, String);

/// What the controller asks for in a metadata migration and at no other time. The test of migrations proves that it does.
pub(crate) fn of_migrations() -> BTreeSet<Asked> {
    let admission = "admissionregistration.k8s.io";
    let policies = ["list", "create", "delete"]
        .into_iter()
        .flat_map(|verb| ["validatingadmissionpolicies", "validatingadmissionpolicybindings"].map(|resource| (verb, admission, resource)));
    let others = [
        ("get", "apps", "deployments/scale"),
        ("update", "apps", "deployments/scale"),
        ("create", "", "persistentvolumeclaims"),
        ("list", "batch", "jobs"),
        ("create", "batch", "jobs"),
        ("list", "storage.k8s.io", "storageclasses"),
    ];
    policies.chain(others).map(|(verb, group, resource)| (verb.to_owned(), group.to_owned(), resource.to_owned())).collect()
}

#[tokio::test]
async fn the_controller_uses_every_right_that_the_chart_grants_and_no_other() {
    let Some(mut upgrading) = Upgrading::new("rights-of-controller").await else { return };
    let flux = Flux::of(&mut upgrading).await;
    let upgrading = flux.upgrading;
    let (plane, namespace) = (upgrading.sandbox.plane, upgrading.sandbox.namespace.clone());
    let tag = |version: &str| format!(",image.all.tag=v{version}");
    upgrading.installed(Program::Helm3, "4.2.58", "").await;
    // Taken up by itself, and taken back.
    upgrading.sandbox.behave(|pods| pods.component("querynode").image("v2.5.22"), Behaviour::NeverReady);
    let ended = upgrading.helm(Program::Helm3, "upgrade", "4.2.58", &tag("2.5.22")).await;
    assert!(ended.status.success(), "{ended}");
    upgrading.reaches("Running").await;
    upgrading.sandbox.kubectl(["annotate", "pvc", "data-m-etcd-0", "seen=yes"]).ok().await;
    // A user that the gates pass over: what it notes stays.
    plane.bind(&upgrading.guard.account, "admin", &namespace).await;
    let note = ["annotate", "configmap", "m-milvus", "guard.milvus-guard.dev/kept-files=user.yaml", "-n", &namespace];
    upgrading.sandbox.command_as(&upgrading.guard.account, Program::Kubectl, note).ok().await;
    wait("a query node of 2.5.22", async || upgrading.sandbox.images_of("querynode").last().is_some_and(|image| image.ends_with("v2.5.22")).then_some(()))
        .await;
    upgrading.declare(json!({"to": "2.5.22", "abort": true})).await;
    upgrading.reaches("Aborted").await;
    let ended = upgrading.sandbox.helm(Program::Helm3, ["rollback", "m", "1"]).run().await;
    assert!(ended.status.success(), "{ended}");
    upgrading.nothing_is_left().await;
    upgrading.declare(json!({"to": "2.5.22"})).await;
    // Another target, which we may follow, since nobody declared one; then one that somebody declares, with everything that it removes.
    let ended = upgrading.helm(Program::Helm3, "upgrade", "4.2.58", &tag("2.5.23")).await;
    assert!(ended.status.success(), "{ended}");
    upgrading.reaches("Completed").await;
    upgrading.declare(json!({"to": "2.6.15"})).await;
    upgrading.reaches("Prepared").await;
    let ended = upgrading.helm(Program::Helm3, "upgrade", "5.0.19", "").await;
    assert!(ended.status.success(), "{ended}");
    upgrading.reaches("Completed").await;
    upgrading.nothing_is_left().await;
    // Flux: values are carried, those of the next revision, and none any more; it is asked again where it was refused.
    let mut release = helm_release("m", &json!({}));
    release["spec"]["chart"]["spec"]["version"] = json!("5.0.19");
    flux.applied(&release).await;
    wait("the carried values", async || flux.get("helmrelease/flux-m").await.filter(|object| object["spec"]["valuesFrom"].is_array())).await;
    let ended = upgrading.helm(Program::Helm3, "upgrade", "5.0.19", ",log.level=debug").await;
    assert!(ended.status.success(), "{ended}");
    flux.patch("helmrelease/flux-m", json!({"status": {"history": [{"version": 5, "status": "deployed"}]}})).await;
    let secret = "secret/milvus-guard-carried-flux-m";
    let is_newest =
        |object: &Value| object["metadata"]["annotations"]["guard.milvus-guard.dev/carried-from"].as_str().is_some_and(|of| !of.ends_with(" revision 4"));
    wait("the values of the next revision", async || flux.get(secret).await.filter(is_newest)).await;
    release["spec"]["upgrade"] = json!({"timeout": "5m"});
    flux.applied(&release).await;
    wait("that nothing is carried any more", async || flux.get(secret).await.is_none().then_some(())).await;
    let message = format!("HelmRelease/{namespace}/flux-m apply failed: admission webhook \"helmreleases.guard.milvus-guard.dev\" denied the request");
    let conditions = json!([{"type": "Ready", "status": "False", "message": message}]);
    flux.applied(
        &json!({"apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": {"name": "apps"}, "status": {"conditions": conditions}}),
    )
    .await;
    wait("that Flux is asked again", async || flux.get("kustomization/apps").await.filter(|object| object["metadata"]["annotations"].is_object())).await;

    let admin = plane.admin().await;
    let roles: Api<ClusterRole> = Api::all(admin.client.clone());
    let name = format!("{}-controller", upgrading.guard.name);
    let own: Api<Role> = Api::namespaced(admin.client.clone(), &upgrading.guard.namespace);
    let mut rules = own.get(&name).await.unwrap().rules.unwrap();
    for role in [name.clone(), format!("{name}-releases")] {
        rules.extend(roles.get(&role).await.unwrap().rules.unwrap());
    }
    rules.extend(Api::<Role>::namespaced(admin.client.clone(), &namespace).get(&format!("{name}-carried-values")).await.unwrap().rules.unwrap());
    let granted: BTreeSet<Asked> = rights(&rules, None).into_iter().map(|right| (right.verb, right.group, right.resource)).collect();
    let (asked, denied) = asked(&upgrading.sandbox, &upgrading.guard.controller_account().name);
    assert_eq!(denied, BTreeSet::new(), "denied to the controller");
    let of_migrations = of_migrations();
    let unused: Vec<&Asked> = granted.difference(&asked).filter(|right| !of_migrations.contains(*right)).collect();
    assert!(unused.is_empty(), "granted by the chart, and never asked for: {unused:?}");
}
