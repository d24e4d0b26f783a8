//! Whether a held change may ever be released: its path from what serves, judged by the same rules as everywhere.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use milvus_guard::model::declaration::Declaration;
use milvus_guard::model::finding::Severity;
use milvus_guard::model::place::{Fact, Origin};
use milvus_guard::model::version::MilvusVersion;
use milvus_guard::policy::Policies;
use milvus_guard::policy::format::Rule;
use milvus_guard::source::memory::MemoryTree;
use milvus_guard::source::{Context, SourceFile, manifest};
use serde_json::{Value, json};

use super::super::answer::cut;
use super::super::declared;
use super::super::exceptions::{ALLOW_ANNOTATION, Exceptions};
use super::super::guard::Guard;
use super::super::hold::{Identity, Reason, Surroundings};
use super::super::milvus::{repository_of, version_of};
use super::super::receipts;
use super::super::request::Request;
use super::super::verdict::{Point, findings, points};
use super::configuration::Moved;
use crate::api;
use crate::cluster::running::{Serving, counted};
use crate::cluster::{Cluster, Kind, label};

/// The longest that is written into an annotation, in bytes.
const MAX_BYTES: usize = 400;

/// A change that is held.
pub(super) struct Change<'c> {
    /// Why it is held.
    pub(super) why: &'c Reason,
    /// What of its configuration moves.
    pub(super) moved: &'c Moved,
    /// The chart that rendered what serves.
    pub(super) chart: Option<&'c str>,
}

/// Why the controller must not release a change, in words that begin with the rule.
pub(super) fn blocked<C: Cluster>(
    guard: &Guard<C>,
    request: &Request,
    identity: &Identity<'_>,
    around: &Surroundings<'_>,
    change: &Change<'_>,
    exceptions: &Exceptions,
) -> Option<String> {
    let found = judged(guard, request, identity, around, change, exceptions);
    let (Reason::Written { .. }, Some(newest)) = (change.why, receipts::Newest::of(guard, &request.namespace, identity.release)) else { return found };
    // No declaration and no waiver leads out of it.
    let ways = newest.ways(&request.namespace, identity.release, found.is_none());
    Some(format!("{}. {ways}", found.unwrap_or_else(|| format!("MV704: {}", change.why.sentence())).trim_end_matches('.')))
}

/// What of the path refuses it, or what it lacks.
fn judged<C: Cluster>(
    guard: &Guard<C>,
    request: &Request,
    identity: &Identity<'_>,
    around: &Surroundings<'_>,
    &Change { why, moved, chart }: &Change<'_>,
    exceptions: &Exceptions,
) -> Option<String> {
    let to_waive = match why {
        Reason::OldData => Some(("MV704", "that it is the one that waits")),
        Reason::Unknown(_) => Some(("MV902", "that it names the same places")),
        _ => None,
    };
    if let Some((rule, what)) = to_waive {
        let waive = format!("kubectl annotate namespace {} '{ALLOW_ANNOTATION}={rule} until=YYYY-MM-DD reason=\"WHY\"'", request.namespace);
        return Some(format!("{}. Once you know {what}: {waive}, and apply again", why.sentence()));
    }
    let upgrade = guard.cluster.object(Kind::GuardedUpgrade, &request.namespace, identity.release);
    let said = upgrade.as_deref().map(api::image_versions).unwrap_or_default();
    let Some(mut after) = declaration(&as_said(&request.object, &said)) else {
        let waived = exceptions.waivers.contains_key("MV902") || matches!(why, Reason::Written { .. });
        return (!waived).then(|| "MV902: It cannot be read which Milvus this is, so its path was not judged. Wait for a person: waive MV902 on it once the step is known to be right.".to_owned());
    };
    let written = if let Reason::Written { by, .. } = why { Some(format!("milvusdb/milvus:v{by}")) } else { None };
    let serving = counted(around.own.iter().chain(around.release));
    // Another component's image stands for this one where it has none of its own yet.
    let images = serving.iter().filter_map(|serving| serving.image()).chain(written.as_deref());
    let befores: Vec<Declaration> = images.filter_map(|image| declaration_before(&request.object, &image_as_said(image, &said), chart)).collect();
    let mut befores: Vec<Declaration> = befores.into_iter().fold(Vec::new(), |mut distinct, before| {
        if !distinct.iter().any(|known: &Declaration| known.image.known() == before.image.known()) {
            distinct.push(before);
        }
        distinct
    });
    if let (Some((_, waits)), Some(rendered)) = (&moved.queues, &mut after.rendered) {
        rendered.message_queue = Some(Arc::clone(waits));
    }
    for before in &mut befores {
        before.rendered.clone_from(&after.rendered);
        if let Some(rendered) = &mut before.rendered {
            // All that serves is in sight, while of what comes this is one workload of several.
            if !serving.is_empty() {
                rendered.components = components(&serving);
                rendered.is_part = false;
            }
            if let Some((serves, _)) = &moved.queues {
                rendered.message_queue = Some(Arc::clone(serves));
            }
        }
    }
    if befores.is_empty() {
        return None;
    }
    after.evidence = upgrade.as_deref().map(|upgrade| declared::evidence_of(upgrade, &after)).unwrap_or_default();
    after.evidence.extend(receipts::evidence(guard, &request.namespace, identity.release));
    let mut all = points(&findings(&befores, &after, guard.cluster.kubernetes()), &|_| None);
    all.extend(moving(moved));
    let mut refusing: Vec<_> = all.iter().filter(|point| point.refuses() && !exceptions.waivers.contains_key(&point.rule)).collect();
    // The path of versions first: it is what no other file mends.
    refusing.sort_by_key(|point| !point.rule.starts_with("MV2"));
    // What the controller led there itself declares nothing; applied once more it would not, either.
    let led = upgrade.as_deref().filter(|upgrade| !api::is_by_person(upgrade) && declared::leads_to(upgrade, &after));
    let taking_over = led.map(|_| api::taking_over(&request.namespace, identity.release));
    let Some((point, others)) = refusing.split_first() else {
        return if written.is_some() { None } else { undeclared(&all, request, identity, &after, (exceptions, taking_over)) };
    };
    let others: Vec<&str> = others.iter().map(|point| &*point.rule).collect();
    let also = if others.is_empty() { String::new() } else { format!(" Also: {}.", others.join(", ")) };
    let text = cut(format!("{}: {} {}", point.rule, point.message, point.next).trim_end(), MAX_BYTES.saturating_sub(also.len()));
    let led = taking_over
        .map(|command| format!(" GuardedUpgrade {} followed the change by itself, and declares nothing; if it is meant: {command}", identity.release));
    Some(format!("{text}{also}{}", led.unwrap_or_default()))
}

/// A door that works and has no way back, so that a person has to declare that it is meant, where nothing else keeps the change.
fn undeclared(
    all: &[Point],
    request: &Request,
    identity: &Identity<'_>,
    after: &Declaration,
    (exceptions, taking_over): (&Exceptions, Option<String>),
) -> Option<String> {
    let waits = |point: &&Point| {
        let door = Policies::embedded().rule(&point.rule).and_then(|rule| rule.door.as_ref());
        point.severity == Severity::Warning && door.is_some_and(|door| door.waits) && !exceptions.waivers.contains_key(&point.rule)
    };
    let point = all.iter().find(waits)?;
    let declared = || Some(api::guarded_upgrade(&request.namespace, identity.release, &declared::milvus_of(after)?.to_string()).to_string());
    let declared = taking_over.or_else(declared)?;
    Some(format!("{}: {} If that is meant, and there is a backup, declare it: {declared}", point.rule, cut(&point.message, MAX_BYTES)))
}

/// What rules say of settings in the rendered configuration that lead elsewhere, since no values are in sight.
fn moving(moved: &Moved) -> impl Iterator<Item = Point> {
    let speaks = |rule: &&Rule| rule.moves.iter().any(|path| moved.settings.iter().any(|moved| **moved == **path));
    Policies::embedded().rules().iter().filter(speaks).map(Point::of_rule)
}

/// The components that serve, each once.
fn components(serving: &[&Serving]) -> Vec<(Arc<str>, Option<u32>)> {
    let names: BTreeSet<Arc<str>> = serving.iter().map(|serving| Arc::clone(&serving.component)).collect();
    names.into_iter().map(|name| (name, None)).collect()
}

/// A Deployment as the linter reads rendered manifests. It is Milvus by what selects its pods, so the name of its chart (an alias) and of its image's repository (a mirror) do not matter.
fn declaration(object: &Value) -> Option<Declaration> {
    let mut object = object.clone();
    let version = label(&object, "helm.sh/chart").and_then(|chart| {
        let at =
            chart.match_indices('-').map(|(at, _)| at).find(|at| chart.get(at + 1..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit())))?;
        chart.get(at + 1..).map(|version| json!(format!("milvus-{version}")))
    });
    if let (Some(chart), Some(labels)) = (version, object.pointer_mut("/metadata/labels").and_then(Value::as_object_mut)) {
        labels.insert("helm.sh/chart".into(), chart);
    }
    let text = object.to_string();
    let tree = MemoryTree::new([("deployment.yaml", text.as_str())]);
    let files = [SourceFile::new("deployment.yaml".into(), text.as_str().into())];
    let context = Context::new(&tree, &files);
    files.first().and_then(|file| manifest::read(file, &context).declarations.into_iter().next())
}

/// An image by a tag that tells its version, where that is said of one whose tag does not.
fn image_as_said<'i>(image: &'i str, said: &BTreeMap<String, MilvusVersion>) -> Cow<'i, str> {
    match version_of(image, said) {
        Some(version) if version_of(image, &BTreeMap::new()).is_none() => format!("{}:v{version}", repository_of(image)).into(),
        _ => image.into(),
    }
}

/// The object with images whose tags tell their versions.
fn as_said<'o>(object: &'o Value, said: &BTreeMap<String, MilvusVersion>) -> Cow<'o, Value> {
    if said.is_empty() {
        return Cow::Borrowed(object);
    }
    let mut object = object.clone();
    let containers = object.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut);
    for image in containers.into_iter().flatten().filter_map(|container| container.get_mut("image")) {
        if let Some(told) = image.as_str().map(|image| image_as_said(image, said).into_owned()) {
            *image = told.into();
        }
    }
    Cow::Owned(object)
}

/// The object as it would be with the image and the chart that serve.
fn declaration_before(object: &Value, image: &str, chart: Option<&str>) -> Option<Declaration> {
    let mut before = object.clone();
    let containers = before.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut);
    for container in containers.into_iter().flatten().filter_map(Value::as_object_mut) {
        container.insert("image".into(), json!(image));
    }
    if let (Some(chart), Some(labels)) = (chart, before.pointer_mut("/metadata/labels").and_then(Value::as_object_mut)) {
        labels.insert("helm.sh/chart".into(), json!(chart));
    }
    let mut before = declaration(&before)?;
    if chart.is_none() {
        before.chart.version = Fact::Unknown("nothing tells which chart serves".into(), Origin::Given("what serves".into()));
    }
    Some(before)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_that_are_none_do_not_matter() {
        let labels = json!({"app.kubernetes.io/name": "milvus", "app.kubernetes.io/instance": "m", "component": "proxy", "helm.sh/chart": "milvus-4.2.58"});
        let containers = json!([7, null, {"name": "proxy", "image": "milvusdb/milvus:v2.6.15"}]);
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "m-milvus-proxy", "labels": labels},
            "spec": {"template": {"metadata": {"labels": labels}, "spec": {"containers": containers}}}});
        let before = declaration_before(&object, "milvusdb/milvus:v2.5.16", Some("milvus-4.2.58")).unwrap();
        assert_eq!(before.image.known().map(|image| &**image), Some("milvusdb/milvus:v2.5.16"));
    }
}
