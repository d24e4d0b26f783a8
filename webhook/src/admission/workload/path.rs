//! Whether a held change may ever be released: its path from what serves, judged by the same rules as everywhere.

use std::collections::BTreeSet;
use std::sync::Arc;

use milvus_guard::model::declaration::Declaration;
use milvus_guard::source::memory::MemoryTree;
use milvus_guard::source::{Context, SourceFile, manifest};
use serde_json::{Value, json};

use super::super::answer::cut;
use super::super::declared;
use super::super::exceptions::Exceptions;
use super::super::guard::Guard;
use super::super::hold::{Identity, Reason, Surroundings};
use super::super::request::Request;
use super::super::verdict::{findings, points};
use crate::api;
use crate::cluster::running::Serving;
use crate::cluster::{Cluster, Kind, label};

/// The longest that is written into an annotation, in bytes.
const MAX_BYTES: usize = 400;

/// Why the controller must not release a change, in words that begin with the rule.
pub(super) fn blocked<C: Cluster>(
    guard: &Guard<C>,
    request: &Request,
    identity: &Identity<'_>,
    around: &Surroundings<'_>,
    why: &Reason,
    queues: Option<&(Arc<str>, Arc<str>)>,
    exceptions: &Exceptions,
) -> Option<String> {
    if *why == Reason::OldData {
        return Some(why.sentence());
    }
    let Some(mut after) = declaration(&request.object) else {
        let waived = exceptions.waivers.contains_key("MV902");
        return (!waived).then(|| "MV902: It cannot be read which Milvus this is, so its path was not judged. Wait for a person: waive MV902 on it once the step is known to be right.".to_owned());
    };
    let serving = around.own.iter().chain(around.release).filter(|serving| serving.pods > 0);
    let befores: Vec<Declaration> = serving.filter_map(|serving| declaration(&as_deployment(&request.object, serving))).collect();
    let mut befores: Vec<Declaration> = befores.into_iter().fold(Vec::new(), |mut distinct, before| {
        if !distinct.iter().any(|known: &Declaration| known.image.known() == before.image.known()) {
            distinct.push(before);
        }
        distinct
    });
    if let (Some((_, waits)), Some(rendered)) = (queues, &mut after.rendered) {
        rendered.message_queue = Some(Arc::clone(waits));
    }
    for before in &mut befores {
        before.rendered.clone_from(&after.rendered);
        if let Some(rendered) = &mut before.rendered {
            // All that serves is in sight, while of what comes this is one workload of several.
            rendered.components = components(around);
            rendered.is_part = false;
            if let Some((serves, _)) = queues {
                rendered.message_queue = Some(Arc::clone(serves));
            }
        }
    }
    if befores.is_empty() {
        return None;
    }
    let upgrade = guard.cluster.object(Kind::GuardedUpgrade, &request.namespace, identity.release);
    after.evidence = upgrade.as_deref().map(|upgrade| declared::evidence_of(upgrade, &after)).unwrap_or_default();
    let receipts = guard.cluster.objects(Kind::UpgradeReceipt, &request.namespace);
    after.evidence.extend(receipts.iter().flat_map(|receipt| api::evidence_of_receipt(receipt, identity.release)));
    let all = points(&findings(&befores, &after, guard.cluster.kubernetes()), &|_| None);
    let mut refusing: Vec<_> = all.iter().filter(|point| point.refuses() && !exceptions.waivers.contains_key(&point.rule)).collect();
    // The path of versions first: it is what no other file mends.
    refusing.sort_by_key(|point| !point.rule.starts_with("MV2"));
    let (point, others) = refusing.split_first()?;
    let others: Vec<&str> = others.iter().map(|point| &*point.rule).collect();
    let also = if others.is_empty() { String::new() } else { format!(" Also: {}.", others.join(", ")) };
    let text = cut(format!("{}: {} {}", point.rule, point.message, point.next).trim_end(), MAX_BYTES.saturating_sub(also.len()));
    Some(format!("{text}{also}"))
}

/// The components that serve, each once.
fn components(around: &Surroundings<'_>) -> Vec<(Arc<str>, Option<u32>)> {
    let names: BTreeSet<Arc<str>> = around.release.iter().filter(|serving| serving.pods > 0).map(|serving| Arc::clone(&serving.component)).collect();
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

/// The object with the template that serves in place of its own.
fn as_deployment(object: &Value, serving: &Serving) -> Value {
    let mut before = object.clone();
    // Another component's image stands for this one where it has none of its own yet.
    if let (Some(image), Some(containers)) = (serving.image(), before.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut)) {
        for container in containers {
            container["image"] = json!(image);
        }
    }
    before
}
