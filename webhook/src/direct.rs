//! A new image for all components of a release, set from a laptop: judged by gate 3 and held as that gate holds it, whether or not a webhook is installed.

use std::collections::BTreeSet;
use std::sync::Arc;

use milvus_guard::model::version::{ImageTag, MilvusVersion};
use milvus_guard::policy::known::unknown_milvus;
use milvus_guard::rollout::orders::{Order, StepKind};
use milvus_guard::rollout::{Component, Orders, Pair, Topology};
use serde_json::{Value, json};

use crate::admission::exceptions::{ALLOW_ANNOTATION, BREAK_GLASS_ANNOTATION, MODE_LABEL, Mode};
use crate::admission::guard::{Configuration, Guard};
use crate::admission::hold::{BLOCKED_ANNOTATION, HELD_LABEL, Identity, is_held};
use crate::admission::milvus::tag_of;
use crate::admission::patch::Patching;
use crate::admission::request::{Kind as ReviewKind, Operation, User};
use crate::admission::{Gate, Judge as _, Request};
use crate::api;
use crate::cluster::running::{self, image};
use crate::cluster::{Cluster as _, Kind, Snapshot, annotation, label, text};

/// The label that the upstream script writes its `-t` into.
const VERSION_LABEL: &str = "app.kubernetes.io/version";

/// The image that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Repository and tag, as it is written into the workloads.
    pub image: String,
    /// What is written into their version label.
    pub tag: String,
    /// The Milvus version that both are.
    pub version: MilvusVersion,
}

impl Target {
    /// Both flags of the script have to mean one version, which the script does not look at.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(image: &str, tag: &str) -> Result<Self, String> {
        let of = |what: &str, tag: &str| ImageTag::parse(tag).version().ok_or_else(|| format!("{what} `{tag}` does not tell a Milvus version such as v2.5.22"));
        let in_image = tag_of(image).ok_or_else(|| format!("image `{image}` has no tag; name one, such as {image}:v2.5.22"))?;
        let (by_image, by_tag) = (of("the tag of -w", in_image)?, of("-t", tag)?);
        if by_image != by_tag {
            return Err(format!("-t says {by_tag} and -w says {by_image}: give both for one version"));
        }
        Ok(Self { image: image.to_owned(), tag: tag.to_owned(), version: by_image })
    }
}

/// What stands in the way: a rule where there is one, why, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub why: String,
    /// What to do.
    pub next: String,
}

/// What is changed of one workload.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Its component.
    pub component: Component,
    /// The image that it has now.
    pub before: String,
    /// The workload as it was read.
    pub object: Value,
    /// What makes it wait with the new image; empty where it has it.
    pub patch: json_patch::Patch,
    /// Why it must not be released, by a rule.
    pub blocked: Option<String>,
    /// What the gate says of it.
    pub warnings: Vec<String>,
}

/// A change of the image of a release.
#[derive(Debug, Clone, PartialEq)]
pub struct Rolling {
    /// Versions and topology.
    pub pair: Pair,
    /// The order.
    pub order: &'static Order,
    /// Workloads in that order.
    pub drafts: Vec<Draft>,
}

impl Rolling {
    /// Whether all of it runs already.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.pair.from == self.pair.to && self.drafts.iter().all(|draft| draft.patch.0.is_empty() && !is_held(&draft.object))
    }

    /// What the rules refuse, each sentence once.
    #[must_use]
    pub fn blocked(&self) -> Vec<&str> {
        self.drafts.iter().filter_map(|draft| draft.blocked.as_deref()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// What they warn of, each sentence once.
    #[must_use]
    pub fn warnings(&self) -> Vec<&str> {
        self.drafts.iter().flat_map(|draft| &draft.warnings).map(String::as_str).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// The namespace.
    pub namespace: String,
    /// The release.
    pub release: String,
    /// The image.
    pub target: Target,
    /// `spec.metadataMigration` of its `GuardedUpgrade`, where metadata is migrated on the way.
    pub migration: Option<Value>,
}

impl Asked {
    /// What is declared for it.
    #[must_use]
    pub fn upgrade(&self) -> Value {
        let mut upgrade = api::guarded_upgrade(&self.namespace, &self.release, &self.target.version.to_string());
        if let (Some(migration), Some(spec)) = (&self.migration, upgrade.get_mut("spec").and_then(Value::as_object_mut)) {
            spec.insert("metadataMigration".into(), migration.clone());
        }
        upgrade
    }
}

/// Why there is nothing to migrate, where that is so: no such release, or one of 2.2 or later.
#[must_use]
pub fn nothing_to_migrate(cluster: &Snapshot, asked: &Asked) -> Option<String> {
    let Asked { namespace, release, .. } = asked;
    let all = cluster.objects(Kind::Deployment, namespace);
    let mut own = all.iter().filter(|object| Identity::of(object).is_some_and(|identity| identity.release == release)).peekable();
    if own.peek().is_none() {
        return Some(format!("no Milvus of a release {release} is in namespace {namespace}: there is nothing to migrate"));
    }
    if own.any(|object| is_held(object)) {
        return None;
    }
    let serving = running::serving(cluster, namespace, release);
    let versions = running::counted(&serving).into_iter().map(|serving| ImageTag::parse(tag_of(serving.image()?)?).version());
    let oldest = versions.collect::<Option<Vec<_>>>()?.into_iter().min()?;
    (oldest >= MilvusVersion::new(2, 2, 0)).then(|| format!("release {release} runs {oldest}: its metadata is of 2.2 or later already"))
}

/// Plans the change over these objects. `begun`: the version that an upgrade to this target comes from which was begun and has not ended; nothing of it may run now.
///
/// # Errors
/// Why there is none.
pub async fn rolling(cluster: &Snapshot, asked: &Asked, begun: Option<MilvusVersion>) -> Result<Rolling, Refused> {
    let Asked { namespace, release, target, migration } = asked;
    let all = cluster.objects(Kind::Deployment, namespace);
    let own: Vec<&Arc<Value>> = all.iter().filter(|object| Identity::of(object).is_some_and(|identity| identity.release == release)).collect();
    if own.is_empty() {
        return Err(refused(format!("no Deployment of a Milvus release {release} in namespace {namespace}"), other_releases(&all)));
    }
    let labels: BTreeSet<&str> = own.iter().filter_map(|object| Some(Identity::of(object)?.label)).collect();
    if labels.len() > 1 {
        let names = labels.into_iter().collect::<Vec<_>>().join(", ");
        return Err(refused(
            format!("release {release} has several Milvus ({names})"),
            "Upgrade them with Helm; the guard then keeps the order of each.".into(),
        ));
    }
    let (pair, order) = order(cluster, asked, &own, begun)?;
    // One that is complete already is told by others.
    if order.migration != migration.is_some() && !(migration.is_some() && pair.from == pair.to) {
        return Err(if order.migration {
            let next = format!("milvus-guard migrate -i {release} -n {namespace} -s {} -t {} -w {} does that.", pair.from, pair.to, target.image);
            refused(format!("MV201: the metadata has to be migrated between {} and {}", pair.from, pair.to), next)
        } else {
            let next = format!("milvus-guard rolling-update -i {release} -n {namespace} -t {} -w {} goes there.", target.tag, target.image);
            refused(format!("no metadata is migrated between {} and {}", pair.from, pair.to), next)
        });
    }
    let guard = Guard::new(Arc::new(judging(cluster, asked)), Configuration::default());
    let mut drafts = Vec::new();
    for object in own {
        let named = Identity::of(object).and_then(|identity| Component::named(identity.component));
        // Others, such as Attu, carry the same labels and other images.
        if let Some(component) = named {
            drafts.push(draft(&guard, namespace, object, component, target).await?);
        }
    }
    let place = |draft: &Draft| order.steps.iter().position(|step| step.component == draft.component);
    drafts.sort_by_key(place);
    Ok(Rolling { pair, order, drafts })
}

fn refused(why: String, next: String) -> Refused {
    Refused { why, next }
}

fn other_releases(all: &[Arc<Value>]) -> String {
    let names: BTreeSet<&str> = all.iter().filter_map(|object| Some(Identity::of(object)?.release)).collect();
    if names.is_empty() {
        return "Name another namespace with -n; `milvus-guard status -A` lists all releases.".to_owned();
    }
    format!("The releases there are: {}.", names.into_iter().collect::<Vec<_>>().join(", "))
}

/// The gates judge as if they were in force, whatever the namespace says: nothing else keeps the order here. And as if the upgrade were declared, as it will be.
fn judging(cluster: &Snapshot, asked: &Asked) -> Snapshot {
    let mut judging = cluster.clone();
    let mut upgrade = cluster.object(Kind::GuardedUpgrade, &asked.namespace, &asked.release).map_or_else(|| asked.upgrade(), |known| Value::clone(&known));
    if let (Some(known), Some(spec)) = (upgrade.get_mut("spec").and_then(Value::as_object_mut), asked.upgrade().get("spec").and_then(Value::as_object)) {
        known.extend(spec.clone());
    }
    judging.put(upgrade);
    let namespaces: Vec<Value> = cluster.of_kind("Namespace").map(|namespace| Value::clone(namespace)).collect();
    for mut namespace in namespaces {
        if let Some(labels) = namespace.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
            labels.insert(MODE_LABEL.into(), json!(Mode::Enforce.name()));
        }
        judging.put(namespace);
    }
    judging
}

/// The versions of all pods of a release; nothing where an image does not tell.
#[must_use]
pub fn versions(cluster: &Snapshot, namespace: &str, release: &str) -> Option<BTreeSet<MilvusVersion>> {
    let serving = running::serving(cluster, namespace, release);
    serving.iter().filter(|serving| serving.pods > 0).map(|serving| ImageTag::parse(tag_of(serving.image()?)?).version()).collect()
}

fn order(cluster: &Snapshot, asked: &Asked, own: &[&Arc<Value>], begun: Option<MilvusVersion>) -> Result<(Pair, &'static Order), Refused> {
    let (namespace, release, to) = (&asked.namespace, &asked.release, asked.target.version);
    let tags = versions(cluster, namespace, release);
    let look = || format!("milvus-guard doctor -n {namespace} tells more.");
    let Some(tags) = tags else { return Err(refused("the image of a pod that runs does not tell its Milvus version".into(), look())) };
    let begun = begun.filter(|begun| tags.iter().all(|tag| tag == begun || *tag == to));
    let from = match (begun, tags.iter().copied().collect::<Vec<_>>().as_slice()) {
        (Some(begun), _) => begun,
        (None, []) => return Err(refused(format!("nothing of release {release} runs"), "Start it with the version that wrote its data first.".into())),
        (None, [one]) => *one,
        // Interrupted: what is not at the target is where it came from.
        (None, [one, two]) if *two == to => *one,
        (None, [one, two]) if *one == to => *two,
        _ => {
            let told = tags.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            return Err(refused(
                format!("components of several versions run ({told}), none of them {to}"),
                "Finish that upgrade first, to the newest of them.".into(),
            ));
        }
    };
    let components: Vec<Component> = own.iter().filter_map(|object| Component::named(Identity::of(object)?.component)).collect();
    let Some(topology) = Topology::of(&components) else {
        return Err(refused(format!("the components of release {release} are no topology that is known: both kinds of coordinators, or none"), look()));
    };
    let pair = Pair { from, to, before: topology, after: topology };
    let order = Orders::embedded().find(&pair).map_err(|refusal| {
        let next = if from <= to {
            format!("A new image alone is not the way: milvus-lint plan --from {from} --to {to} prints it.")
        } else if Orders::embedded().find_rollback(&pair).is_ok() {
            format!("Go back with Helm, to the revision that put {to} in place: helm history {release} -n {namespace} tells which.")
        } else {
            format!("Stay on {from}, or restore the backup that was taken before the upgrade.")
        };
        refused(format!("{}: {}", refusal.rule, refusal.reason), next)
    })?;
    // Another topology, an index node that goes: that takes other objects, not another image.
    let misplaced: Vec<&str> = components
        .iter()
        .filter(|component| order.step(**component).is_none_or(|step| step.kind == StepKind::Remove))
        .map(|component| component.name())
        .collect();
    let missing: Vec<&str> = order
        .steps
        .iter()
        .filter(|step| step.kind == StepKind::Roll && !step.optional && !components.contains(&step.component))
        .map(|step| step.component.name())
        .collect();
    if !misplaced.is_empty() || !missing.is_empty() {
        let gone = if misplaced.is_empty() { String::new() } else { format!(" {} has no place in {to}.", misplaced.join(", ")) };
        let new = if missing.is_empty() { String::new() } else { format!(" {to} needs {}.", missing.join(", ")) };
        let next = format!("Upgrade with Helm, which brings and removes components: milvus-lint plan --from {from} --to {to} prints how.");
        return Err(refused(format!("a new image alone does not make {to} of this release.{gone}{new}"), next));
    }
    Ok((pair, order))
}

async fn draft(guard: &Guard<Snapshot>, namespace: &str, object: &Arc<Value>, component: Component, target: &Target) -> Result<Draft, Refused> {
    let name = text(object, "/metadata/name").unwrap_or_default();
    let before = object.pointer("/spec/template").and_then(|template| image(template, component.name())).unwrap_or_default().to_owned();
    let mut draft = Draft { component, before, object: Value::clone(object), patch: json_patch::Patch::default(), blocked: None, warnings: Vec::new() };
    if draft.before == target.image {
        return Ok(draft);
    }
    let mut patching = Patching::new(object);
    patching.set(&image_pointer(object, component).ok_or_else(|| unreadable(name))?, json!(target.image));
    patching.label(VERSION_LABEL, &target.tag);
    let mut operations = patching.finish();
    let mut after = Value::clone(object);
    json_patch::patch(&mut after, &operations).map_err(|_| unreadable(name))?;
    let request = Request {
        uid: "rolling-update".into(),
        kind: ReviewKind { group: "apps".into(), version: "v1".into(), kind: "Deployment".into() },
        sub_resource: None,
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        operation: Operation::Update,
        user_info: User::default(),
        object: after.clone(),
        old_object: Value::clone(object),
        dry_run: None,
        options: Value::Null,
        known_by: None,
    };
    let answer = guard.judge(Gate::Workload, Arc::new(request)).await;
    json_patch::patch(&mut after, &answer.patch).map_err(|_| unreadable(name))?;
    operations.0.extend(answer.patch.0);
    draft.blocked = annotation(&after, BLOCKED_ANNOTATION).map(str::to_owned);
    // That it waits is the plan, and no news.
    draft.warnings = answer.warnings.into_iter().filter(|warning| !warning.contains("is held")).chain(unknown_milvus(target.version)).collect();
    if !waits(&after) || label(&after, HELD_LABEL).is_none() {
        return Err(refused(
            format!("Deployment {name} would not wait for its turn"),
            "Somebody waived that on it or on its namespace: take that exception off first.".into(),
        ));
    }
    draft.patch = operations;
    Ok(draft)
}

/// Whether what was written waits for its turn.
#[must_use]
pub fn waits(stored: &Value) -> bool {
    is_held(stored) && stored.pointer("/spec/paused") == Some(&json!(true))
}

/// That an installed guard takes the hold off what is written, and what to do: by the words of the namespace, as far as those tell why.
#[must_use]
pub fn not_held(cluster: &Snapshot, asked: &Asked, deployment: &str) -> Refused {
    let Asked { namespace, target, .. } = asked;
    let object = cluster.object(Kind::Namespace, "", namespace);
    let mode = object.as_deref().and_then(|object| label(object, MODE_LABEL));
    let (because, next) = match mode.filter(|mode| *mode != Mode::Enforce.name()) {
        Some(mode) => (
            format!("it is labelled {MODE_LABEL}={mode}"),
            format!(
                "Label it for the upgrade, and put that back afterwards: kubectl label namespace {namespace} {MODE_LABEL}={} --overwrite",
                Mode::Enforce.name()
            ),
        ),
        None if object.as_deref().is_some_and(|object| annotation(object, BREAK_GLASS_ANNOTATION).is_some()) => (
            format!("it is annotated {BREAK_GLASS_ANNOTATION}"),
            format!("Take that off first: kubectl annotate namespace {namespace} {BREAK_GLASS_ANNOTATION}-"),
        ),
        None => (
            "its mode, a waiver or break-glass says so".to_owned(),
            format!(
                "Set the mode of the namespace for the upgrade: kubectl label namespace {namespace} {MODE_LABEL}={} --overwrite; and see that nothing of the release is annotated {ALLOW_ANNOTATION} or {BREAK_GLASS_ANNOTATION}.",
                Mode::Enforce.name()
            ),
        ),
    };
    refused(
        format!(
            "the guard holds nothing in namespace {namespace} ({because}): Deployment {deployment} would run {} at once. Nothing was changed",
            target.version
        ),
        next,
    )
}

fn unreadable(name: &str) -> Refused {
    refused(format!("Deployment {name} has no container that is named as its component"), "It is no Deployment of the Milvus chart; change it by hand.".into())
}

/// Where the image of the component's container stands: that of its name, or the only one.
fn image_pointer(object: &Value, component: Component) -> Option<String> {
    let containers = object.pointer("/spec/template/spec/containers")?.as_array()?;
    let named = containers.iter().position(|container| text(container, "/name") == Some(component.name()));
    let at = named.or((containers.len() == 1).then_some(0))?;
    Some(format!("/spec/template/spec/containers/{at}/image"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::fixture::Recipe;
    use crate::cluster::running::tests::replica_set;

    fn world(recipe: &Recipe) -> Snapshot {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "db", "labels": {"guard.milvus-guard.dev/mode": "warn"}}});
        let mut objects = vec![namespace, recipe.config_map()];
        for component in recipe.components() {
            let deployment = recipe.deployment(component);
            objects.push(replica_set(&deployment, 1, 1));
            objects.push(deployment);
        }
        Snapshot::new(objects)
    }

    fn target(tag: &str) -> Target {
        Target::new(&format!("milvusdb/milvus:{tag}"), tag).unwrap()
    }

    fn asked(release: &str, tag: &str, migration: Option<Value>) -> Asked {
        Asked { namespace: "db".into(), release: release.into(), target: target(tag), migration }
    }

    async fn plan(recipe: &Recipe, tag: &str) -> Result<Rolling, Refused> {
        rolling(&world(recipe), &asked("m", tag, None), None).await
    }

    #[test]
    fn both_flags_mean_one_version() {
        assert!(Target::new("milvusdb/milvus:v2.5.22", "v2.5.22").is_ok() && Target::new("mirror.corp:5000/milvus:v2.5.22", "2.5.22").is_ok());
        // The script's default image beside another tag.
        assert_eq!(Target::new("milvusdb/milvus:v2.2.3", "v2.5.22").unwrap_err(), "-t says 2.5.22 and -w says 2.2.3: give both for one version");
        assert!(Target::new("milvusdb/milvus", "v2.5.22").unwrap_err().contains("has no tag"));
        assert!(Target::new("milvusdb/milvus:latest", "latest").unwrap_err().contains("does not tell a Milvus version"));
    }

    #[tokio::test]
    async fn every_component_waits_with_the_new_image_in_the_order_of_the_policy() {
        let recipe = Recipe::new("4.2.58", 1, json!({}));
        let rolling = plan(&recipe, "v2.5.22").await.unwrap();
        let order: Vec<&str> = rolling.drafts.iter().map(|draft| draft.component.name()).collect();
        assert_eq!(order, ["indexnode", "mixcoord", "querynode", "datanode", "proxy"]);
        assert_eq!((rolling.blocked(), rolling.is_done()), (vec![], false));
        for draft in &rolling.drafts {
            let mut after = draft.object.clone();
            json_patch::patch(&mut after, &draft.patch).unwrap();
            assert_eq!(image(&after["spec"]["template"], draft.component.name()), Some("milvusdb/milvus:v2.5.22"));
            assert_eq!((&after["spec"]["paused"], is_held(&after), &after["metadata"]["labels"][VERSION_LABEL]), (&json!(true), true, &json!("v2.5.22")));
        }
    }

    #[tokio::test]
    async fn what_has_the_image_and_runs_it_is_left_alone() {
        let recipe = Recipe::new("4.2.58", 1, json!({}));
        let rolling = plan(&recipe, "v2.5.16").await.unwrap();
        assert!(rolling.is_done() && rolling.drafts.iter().all(|draft| draft.patch.0.is_empty()));
    }

    #[tokio::test]
    async fn what_a_new_image_cannot_do_is_refused_with_the_way() {
        let separate = json!({"mixCoordinator": {"enabled": false}, "rootCoordinator": {"enabled": true}, "queryCoordinator": {"enabled": true},
            "indexCoordinator": {"enabled": true}, "dataCoordinator": {"enabled": true}});
        for (chart, values, tag, why, next) in [
            ("4.2.58", json!({}), "v2.6.15", "2.6", "milvus-lint plan --from 2.5.16 --to 2.6.15"),
            ("4.2.58", separate, "v2.6.15", "MV206", "milvus-lint plan"),
            ("3.2.18", json!({}), "v2.2.16", "MV201", "milvus-guard migrate -i m -n db -s 2.1.4 -t 2.2.16"),
            ("4.2.58", json!({}), "v2.4.16", "MV212", "Stay on 2.5.16, or restore the backup"),
        ] {
            let refused = plan(&Recipe::new(chart, 1, values), tag).await.unwrap_err();
            assert!(refused.why.contains(why) && refused.next.contains(next), "{tag}: {refused:?}");
        }
        let missing = rolling(&world(&Recipe::new("4.2.58", 1, json!({}))), &asked("other", "v2.5.22", None), None).await.unwrap_err();
        assert_eq!(missing.next, "The releases there are: m.");
    }

    #[tokio::test]
    async fn a_migration_is_declared_and_opens_its_door_and_no_other() {
        let recipe = Recipe::new("3.2.18", 1, json!({}));
        let migrating = |tag| asked("m", tag, Some(json!({"storageClass": "fast"})));
        let rolling = super::rolling(&world(&recipe), &migrating("v2.2.16"), None).await.unwrap();
        assert_eq!((rolling.order.migration, rolling.blocked()), (true, vec![]));
        assert_eq!(migrating("v2.2.16").upgrade()["spec"], json!({"to": "2.2.16", "metadataMigration": {"storageClass": "fast"}}));
        let refused = super::rolling(&world(&Recipe::new("4.2.58", 1, json!({}))), &migrating("v2.5.22"), None).await.unwrap_err();
        assert!(refused.next.contains("milvus-guard rolling-update -i m -n db -t v2.5.22"), "{refused:?}");
    }

    #[tokio::test]
    async fn what_a_rule_refuses_is_told_whatever_the_mode_of_the_namespace() {
        let recipe = Recipe::new("4.2.58", 1, json!({"image": {"all": {"tag": "v2.5.10"}}}));
        let told = plan(&recipe, "v2.5.14").await.unwrap();
        assert!(told.blocked()[0].starts_with("MV215"), "renaming a collection loses data there: {:?}", told.blocked());
    }

    #[tokio::test]
    async fn a_guard_that_holds_nothing_is_told_with_the_label_that_says_so() {
        let recipe = Recipe::new("4.2.58", 1, json!({}));
        let draft = plan(&recipe, "v2.5.22").await.unwrap().drafts.remove(0);
        let mut stored = draft.object.clone();
        json_patch::patch(&mut stored, &draft.patch).unwrap();
        assert!(waits(&stored));
        // As a webhook answers in a namespace of mode warn.
        stored["spec"].as_object_mut().unwrap().remove("paused");
        assert!(!waits(&stored) && !waits(&draft.object));
        let told = not_held(&world(&recipe), &asked("m", "v2.5.22", None), "m-milvus-proxy");
        assert!(told.why.contains("guard.milvus-guard.dev/mode=warn): Deployment m-milvus-proxy would run 2.5.22 at once. Nothing was changed"), "{told:?}");
        assert!(told.next.ends_with("kubectl label namespace db guard.milvus-guard.dev/mode=enforce --overwrite"), "{told:?}");
        let broken = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "db", "annotations": {"guard.milvus-guard.dev/break-glass": "until=2026-11-22T10:00:00Z"}}});
        let told = not_held(&Snapshot::new(vec![broken]), &asked("m", "v2.5.22", None), "m-milvus-proxy");
        assert!(told.next.contains("kubectl annotate namespace db guard.milvus-guard.dev/break-glass-"), "{told:?}");
    }

    #[tokio::test]
    async fn a_version_that_nobody_knows_is_warned_of() {
        let recipe = Recipe::new("4.2.58", 1, json!({}));
        assert!(plan(&recipe, "v2.5.22").await.unwrap().warnings().iter().all(|warning| !warning.contains("is not known")));
        let unknown = plan(&recipe, "v2.5.99").await.unwrap();
        assert!(
            unknown.warnings().iter().any(|warning| warning.starts_with("Milvus 2.5.99 is not known here (nearest known of its line: 2.5.")),
            "{unknown:?}"
        );
    }

    #[tokio::test]
    async fn what_does_not_run_is_not_rolled() {
        let mut stopped = world(&Recipe::new("4.2.58", 1, json!({})));
        for set in stopped.of_kind("ReplicaSet").map(|set| Value::clone(set)).collect::<Vec<_>>() {
            stopped.put(json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": set["metadata"], "spec": set["spec"], "status": {"replicas": 0}}));
        }
        let refused = super::rolling(&stopped, &asked("m", "v2.5.22", None), None).await.unwrap_err();
        assert!(refused.why.contains("nothing of release m runs"), "{refused:?}");
    }
}
