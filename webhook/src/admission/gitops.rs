//! Gate 2: objects that tell a GitOps tool what to install, read by the linter's own readers.
//!
//! Doubt: refused; only objects that mention Milvus come here, and their tools try again.

mod fields;

use std::sync::Arc;

use jiff::Timestamp;
use milvus_guard::model::declaration::{Declaration, FlagKind, Form, Lineage, NotChecked};
use milvus_guard::model::finding::{Finding, Severity};
use milvus_guard::model::place::{Fact, Origin};
use milvus_guard::model::release::{Release, is_component};
use milvus_guard::model::version::VersionSpec;
use milvus_guard::policy::Policies;
use milvus_guard::source::memory::MemoryTree;
use milvus_guard::source::{SourceFile, read_tree};
use serde_json::{Value, json};

use self::fields::Fields;
use super::exceptions::{ALLOW_ANNOTATION, BREAK_GLASS_ANNOTATION, Exceptions};
use super::guard::Guard;
use super::hold::{DECLARED_ANNOTATION, HOLD_ANNOTATION, Identity, is_held, serving_chart};
use super::judge::Glance;
use super::milvus::{image_layers, repository_of, tag_of};
use super::outline::Outline;
use super::patch::Patching;
use super::request::{Operation, Request, User, mentions_milvus, parse_outlines};
use super::verdict::{Point, Terms, answer, findings, points, resolved};
use super::{Answer, BREAK_GLASS, declared};
use crate::cluster::running::{Serving, counted, image, list, pod_label, serving};
use crate::cluster::{Cluster, Kind, annotation, label, text};

/// The file that stands for the object, for readers.
const FILE: &str = "object.yaml";

/// The Secret beside a HelmRelease with the values that its release carries from its revisions; the controller writes it. Named as the HelmRelease is, since several in one namespace may make releases
/// of one name elsewhere.
#[must_use]
pub fn carried_values_secret(helm_release: &str) -> String {
    format!("milvus-guard-carried-{helm_release}")
}

/// How a HelmRelease refers to it.
#[must_use]
pub fn carried_values(secret: &str) -> Value {
    json!({"kind": "Secret", "name": secret})
}

/// The name of the release that a HelmRelease makes.
#[must_use]
pub fn release_name(object: &Value) -> Option<String> {
    text(object, "/spec/releaseName").map(str::to_owned).or_else(|| {
        let own = text(object, "/metadata/name")?;
        Some(text(object, "/spec/targetNamespace").map_or_else(|| own.to_owned(), |target| format!("{target}-{own}")))
    })
}

/// Longer bodies are not looked at before they are decoded, in bytes.
const GLANCE_BYTES: usize = 64 << 10;

/// Longer texts are not remembered by what they declare, in bytes.
const READ_BYTES: usize = 16 << 10;

/// Verdicts of which more is to be said are not remembered, in bytes.
const KNOWN_BYTES: usize = 2 << 10;

/// What can be answered from a review's text. A write that changes nothing which is judged, and one that was judged a moment ago, are most of what comes: GitOps tools apply everything again and
/// again, each time in a dry run first. What deserves an Event is looked at whole, since that tells more of the object.
pub(super) fn glance<C: Cluster>(guard: &Guard<C>, body: &[u8]) -> Glance {
    // What cannot be taken in parts is decoded, and errors are told then.
    let Some(request) = (body.len() <= GLANCE_BYTES).then(|| parse_outlines(body).ok()).flatten() else { return Glance::Decode(None) };
    if is_unchanged(&request) {
        return Glance::Known(Box::new(request.without_objects()), Answer::admitted());
    }
    let key = guard.fingerprints.of(&request);
    let known = guard.verdicts.get(&key).filter(|known| known.holds(guard));
    let answer = known.map(|known| answer_of(guard, &known.verdict, &request.user_info, request.is_dry_run()));
    match answer.filter(|answer| answer.is_admitted() && !answer.audit.contains_key(BREAK_GLASS)) {
        Some(answer) => Glance::Known(Box::new(request.without_objects()), answer),
        None => Glance::Decode(Some(key)),
    }
}

/// As [`judge`] sees it, from the text: the same text has the same values.
fn is_unchanged(request: &Request<Outline<'_>>) -> bool {
    let (after, before) = (&request.object, &request.old_object);
    request.operation == Operation::Update && after.field("spec") == before.field("spec") && after.metadata("annotations") == before.metadata("annotations")
}

/// Judges a request of gate 2.
pub(super) async fn judge<C: Cluster>(guard: &Guard<C>, request: &Request) -> Answer {
    if !matches!(request.operation, Operation::Create | Operation::Update) || request.object.pointer("/metadata/deletionTimestamp").is_some() {
        return Answer::admitted();
    }
    let is_same = |pointer: &str| request.object.pointer(pointer) == request.old_object.pointer(pointer);
    if request.operation == Operation::Update && is_same("/spec") && is_same("/metadata/annotations") {
        return Answer::admitted();
    }
    let (text, fields) = Fields::write(&request.object);
    if !mentions_milvus(text.as_bytes()) {
        return Answer::admitted();
    }
    let (patch, carries) = preserve(guard, request, &request.object).await;
    let verdict = match &carries {
        Carries::Nothing => remembered(guard, request, &text, &fields).await,
        _ if patch.0.is_empty() => Arc::new(verdict(guard, request, &text, &fields).await.0),
        _ => {
            let mut object = request.object.clone();
            let _applied = json_patch::patch(&mut object, &patch);
            let (text, fields) = Fields::write(&object);
            Arc::new(verdict(guard, request, &text, &fields).await.0)
        }
    };
    if carries == Carries::Nothing {
        return answer_of(guard, &verdict, &request.user_info, request.is_dry_run());
    }
    let mut verdict = Verdict::clone(&verdict);
    for point in verdict.points.iter_mut().filter(|point| &*point.rule == "MV108") {
        // Gate 1 stands behind it, where it is known what the values become.
        point.severity = Severity::Warning;
    }
    let mut answer = answer_of(guard, &verdict, &request.user_info, request.is_dry_run());
    match &carries {
        Carries::Patched(secret) => answer
            .warnings
            .push(format!("upgrade.preserveValues is replaced by the Secret {secret}, which carries the same values without the old chart's defaults")),
        Carries::Otherwise(why) => answer.warnings.push(format!("upgrade.preserveValues stays: {why}")),
        Carries::Nothing | Carries::Untouched | Carries::NoLonger => {}
    }
    answer.patch = patch;
    answer
}

/// What is to be said of a change before it is asked what is waived.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    points: Vec<Point>,
    /// Whose mode and waivers count.
    namespace: String,
    /// The object's waivers and break-glass, as an object.
    asked: Value,
    /// The namespaces that it was made from.
    looked_at: Vec<String>,
}

/// A verdict that the caches told all of, for as long as they stay as they were.
#[derive(Debug, Clone)]
pub(super) struct Known {
    verdict: Arc<Verdict>,
    /// Of the namespaces that it was made from.
    generations: Arc<[u64]>,
    kubernetes: Option<(u32, u32)>,
}

impl Known {
    fn holds<C: Cluster>(&self, guard: &Guard<C>) -> bool {
        self.kubernetes == guard.cluster.kubernetes()
            && self.verdict.looked_at.iter().zip(&*self.generations).all(|(namespace, generation)| guard.cluster.generation_in(namespace) == Some(*generation))
    }
}

/// The answer that a verdict gives at this moment: modes and exceptions are of now.
fn answer_of<C: Cluster>(guard: &Guard<C>, verdict: &Verdict, user: &User, dry_run: bool) -> Answer {
    let namespace = verdict.namespace.as_str();
    let object = guard.namespace(namespace);
    let exceptions = Exceptions::read([Some(&verdict.asked), object.as_deref()].into_iter().flatten(), Timestamp::now()).noting(guard.unknown_mode(namespace));
    answer(verdict.points.clone(), &Terms { mode: guard.mode(namespace), exceptions: &exceptions, user, dry_run })
}

/// The verdict on an object, which is kept where it can be told from a review's text.
async fn remembered<C: Cluster>(guard: &Guard<C>, request: &Request, text: &str, fields: &Fields<'_>) -> Arc<Verdict> {
    let begun = guard.cluster.generation();
    let (verdict, lasts) = verdict(guard, request, text, fields).await;
    let verdict = Arc::new(verdict);
    let Some(key) = request.known_by.filter(|_| lasts && verdict.bytes() <= KNOWN_BYTES) else { return verdict };
    let generations: Option<Arc<[u64]>> = verdict.looked_at.iter().map(|namespace| guard.cluster.generation_in(namespace)).collect();
    // Where a cache changed meanwhile, nobody knows what was seen of it.
    if let Some(generations) = generations.filter(|_| guard.cluster.generation() == begun) {
        guard.verdicts.put(&key, Known { verdict: Arc::clone(&verdict), generations, kubernetes: guard.cluster.kubernetes() });
    }
    verdict
}

/// The verdict on an object (patched) and the one before it, and whether the caches tell all of it.
async fn verdict<C: Cluster>(guard: &Guard<C>, request: &Request, text: &str, fields: &Fields<'_>) -> (Verdict, bool) {
    let old = Some(&request.old_object).filter(|before| !before.is_null());
    let before = old.map(|old| Reading::of(guard, &Fields::write(old).0, old, &request.namespace)).unwrap_or_default();
    let read = Reading::of(guard, text, fields.object, &request.namespace);
    let (mut points, mut lasts) = (Vec::new(), true);
    for declaration in &read.declarations {
        let judged = judge_one(guard, request, declaration, &before.declarations, fields).await;
        points.extend(judged.0);
        lasts &= judged.1;
    }
    for gap in read.idle.iter().filter(|_| !read.declarations.is_empty()) {
        let field = gap.place.as_ref().and_then(|place| fields.path(place.start.line));
        points.push(Point { field, ..Point::new("MV901", Severity::Warning, &*gap.reason, "") });
    }
    let mut looked_at: Vec<String> = read.declarations.iter().map(|declaration| namespace_of(declaration, request).to_owned()).collect();
    let namespace = looked_at.first().cloned().unwrap_or_else(|| request.namespace.clone());
    looked_at.extend(
        [Some(fields.object), old]
            .into_iter()
            .flatten()
            .filter_map(|object| repository_of_chart(object, &request.namespace))
            .map(|(namespace, _)| namespace.to_owned()),
    );
    looked_at.sort_unstable();
    looked_at.dedup();
    (Verdict { points, namespace, asked: asked(&request.object), looked_at }, lasts)
}

impl Verdict {
    /// What it takes in memory, about.
    fn bytes(&self) -> usize {
        let of_point = |point: &Point| {
            let missing = point.missing.as_ref().map_or(0, |object| object.to_string().len());
            size_of::<Point>() + point.message.len() + point.next.len() + point.field.as_ref().map_or(0, String::len) + missing
        };
        self.points.iter().map(of_point).sum::<usize>() + self.asked.to_string().len()
    }
}

/// What an object asks to be let through by.
fn asked(object: &Value) -> Value {
    let said = [ALLOW_ANNOTATION, BREAK_GLASS_ANNOTATION].into_iter().filter_map(|name| Some((name.to_owned(), annotation(object, name)?.into())));
    json!({"metadata": {"annotations": said.collect::<serde_json::Map<_, _>>()}})
}

/// What an object declares.
#[derive(Debug, Default)]
pub(super) struct Reading {
    declarations: Vec<Declaration>,
    /// What was written to be evidence and is none.
    idle: Vec<NotChecked>,
}

impl Reading {
    /// Reads an object's text, or remembers it: what comes before was mostly what came a moment ago.
    fn of<C: Cluster>(guard: &Guard<C>, text: &str, object: &Value, namespace: &str) -> Arc<Self> {
        let mut files = vec![(FILE.to_owned(), text.to_owned())];
        for repository in repositories(guard, object, namespace) {
            files.push((format!("repository-{}.yaml", files.len()), repository.to_string()));
        }
        let key = guard.fingerprints.of_texts(files.iter().map(|(_, text)| text.as_str()));
        if let Some(known) = guard.readings.get(&key) {
            return known;
        }
        let tree = MemoryTree::new(files.iter().map(|(path, text)| (path.as_str(), text.as_str())));
        let candidates: Vec<SourceFile> = files.iter().map(|(path, text)| SourceFile::new(path.as_str().into(), text.as_str().into())).collect();
        let read = read_tree(&tree, &candidates);
        let is_gitops = |declaration: &Declaration| matches!(declaration.identity.form, Form::Flux | Form::ArgoCd | Form::K3s);
        let declarations: Vec<Declaration> = read.declarations.into_iter().filter(is_gitops).collect();
        let mut idle = read.idle;
        idle.extend(declarations.iter().flat_map(|declaration| Policies::embedded().idle_evidence(declaration)));
        idle.retain(|gap| &*gap.file == FILE);
        let reading = Arc::new(Self { declarations, idle });
        if text.len() <= READ_BYTES {
            guard.readings.put(&key, Arc::clone(&reading));
        }
        reading
    }
}

/// The Flux repositories that an object may refer to.
fn repositories<C: Cluster>(guard: &Guard<C>, object: &Value, namespace: &str) -> Vec<Arc<Value>> {
    let found = repository_of_chart(object, namespace).and_then(|(namespace, name)| guard.cluster.object(Kind::HelmRepository, namespace, name));
    found.into_iter().collect()
}

/// Namespace and name of the repository that an object says its chart comes from.
fn repository_of_chart<'o>(object: &'o Value, namespace: &'o str) -> Option<(&'o str, &'o str)> {
    let reference = object.pointer("/spec/chart/spec/sourceRef").or_else(|| object.pointer("/spec/chartRef"))?;
    Some((text(reference, "/namespace").unwrap_or(namespace), text(reference, "/name")?))
}

fn namespace_of<'d>(declaration: &'d Declaration, request: &'d Request) -> &'d str {
    declaration.identity.namespace.as_deref().unwrap_or(&request.namespace)
}

/// What is to be said of one release, and whether the caches tell all of it.
async fn judge_one<C: Cluster>(guard: &Guard<C>, request: &Request, declaration: &Declaration, old: &[Declaration], fields: &Fields<'_>) -> (Vec<Point>, bool) {
    let mut after = declaration.clone();
    let namespace = namespace_of(declaration, request).to_owned();
    after.identity.namespace = Some(namespace.as_str().into());
    let release = after.identity.name.clone();
    let field = |finding: &Finding| {
        finding.locations.first().filter(|label| &*label.place.file == FILE && !label.before).and_then(|label| fields.path(label.place.start.line))
    };
    let (Some(release), true) = (release, is_here(&request.object)) else {
        // Another cluster's, or nobody knows whose: what the objects themselves say is all there is.
        let before: Vec<Declaration> = counterpart(&after, old).into_iter().collect();
        return (points(&findings(&before, &after, None), &field), true);
    };
    let runs = serving(&*guard.cluster, &namespace, &release);
    know_lineage(&mut after, guard, &namespace, &release);
    let befores = befores(&after, old, &runs, guard, &namespace, &release);
    let told = |found: &[Finding]| points(found, &field);
    let judged = declared::judge(guard, (&namespace, &release), befores, &mut after, request.is_dry_run(), &told).await;
    (judged.points, !judged.asks)
}

/// Whether an Argo CD object deploys to this cluster; other kinds always do.
fn is_here(object: &Value) -> bool {
    let destination = object.pointer("/spec/destination").or_else(|| object.pointer("/spec/template/spec/destination"));
    let Some(destination) = destination else { return true };
    let server = text(destination, "/server").is_none_or(|server| server.starts_with("https://kubernetes.default.svc"));
    server && text(destination, "/name").is_none_or(|name| name == "in-cluster")
}

/// A repository that is not in sight says nothing of the chart, but what it installed does.
fn know_lineage<C: Cluster>(after: &mut Declaration, guard: &Guard<C>, namespace: &str, release: &str) {
    let is_milvus = after.chart.name.known().is_some_and(|name| name.rsplit('/').next() == Some("milvus"));
    if after.chart.lineage == Lineage::Unknown && is_milvus && chart_label(guard, namespace, release).is_some() {
        after.chart.lineage = Lineage::Zilliztech;
    }
}

/// The version of the chart that rendered what serves of a release.
fn chart_label<C: Cluster>(guard: &Guard<C>, namespace: &str, release: &str) -> Option<String> {
    let deployments = guard.cluster.naming(Kind::Deployment, namespace, release);
    let of_release =
        |object: &&Arc<Value>| label(object, "app.kubernetes.io/instance") == Some(release) && label(object, "component").is_some_and(is_component);
    deployments.iter().filter(of_release).find_map(|object| serving_chart(object)?.strip_prefix("milvus-").map(str::to_owned))
}

/// The declaration of the old object that is the same release.
fn counterpart(after: &Declaration, old: &[Declaration]) -> Option<Declaration> {
    let same = |before: &&Declaration| before.identity.name == after.identity.name;
    old.iter().find(same).or(if old.len() == 1 { old.first() } else { None }).cloned()
}

/// The states before: what the object said, and what runs where that is something else.
fn befores<C: Cluster>(after: &Declaration, old: &[Declaration], runs: &[Serving], guard: &Guard<C>, namespace: &str, release: &str) -> Vec<Release> {
    let declared = counterpart(after, old).map(|mut before| {
        before.identity.namespace.clone_from(&after.identity.namespace);
        if before.chart.lineage == Lineage::Unknown {
            before.chart.lineage = after.chart.lineage;
        }
        before
    });
    let mut images: Vec<&str> = counted(runs).into_iter().filter_map(Serving::image).collect();
    images.sort_unstable();
    images.dedup();
    let declared = declared.map(resolved).filter(|said| !only_waited(said, after, &images, guard, namespace, release));
    let is_declared = declared.is_some();
    if !is_declared && images.is_empty() {
        return Vec::new();
    }
    let base = declared.unwrap_or_else(|| {
        let mut before = after.clone();
        before.flags.retain(|flag| flag.kind != FlagKind::ReuseValues);
        if let Some(chart) = chart_label(guard, namespace, release) {
            before.chart.version = Fact::Known(VersionSpec::parse(&chart), Origin::Given("what runs".into()));
        }
        resolved(before)
    });
    let is_base = |image: &str| says(&base, image) || tag_of(image).is_none();
    let with = |image: &str| {
        // A tag that the chart brings is none that the user pinned: `--reuse-values` keeps them for different reasons.
        if is_base(image) {
            return base.clone();
        }
        let mut state = Declaration::clone(&base.declaration);
        state.layers.extend(image_layers(image, &base.declaration.place));
        resolved(state)
    };
    let mut states: Vec<Release> = images.iter().map(|image| with(image)).collect();
    if is_declared && !images.iter().any(|image| is_base(image)) {
        states.push(base);
    }
    states
}

/// Whether an object takes back what it said before: that is held, no pod of it ever was (a Deployment that is let go has a ReplicaSet at once), no store was let go for it, and what runs is what the
/// object says now. That is no way down, as little as a rollback of a revision that was only held.
fn only_waited<C: Cluster>(said: &Release, after: &Declaration, images: &[&str], guard: &Guard<C>, namespace: &str, release: &str) -> bool {
    let is_its = |object: &&Arc<Value>| is_held(object) && Identity::of(object).is_some_and(|identity| identity.release == release);
    let waiting = guard.cluster.naming(Kind::Deployment, namespace, HOLD_ANNOTATION);
    let held: Vec<&Arc<Value>> = waiting.iter().filter(is_its).collect();
    let upgrade = guard.cluster.object(Kind::GuardedUpgrade, namespace, release);
    // Which stores were let go for it, only the declaration knows that it was held with.
    let uid = upgrade.as_deref().and_then(|upgrade| text(upgrade, "/metadata/uid"));
    let is_known = |object: &&Arc<Value>| annotation(object, DECLARED_ANNOTATION).is_none_or(|declared| uid == Some(declared));
    if images.is_empty() || held.is_empty() || !held.iter().all(is_known) {
        return false;
    }
    let says_now = resolved(after.clone());
    if !images.iter().all(|image| says(&says_now, image) && !says(said, image)) {
        return false;
    }
    let is_of_said = |object: &Arc<Value>| {
        let component = pod_label(object, "component").unwrap_or_default();
        object.pointer("/spec/template").and_then(|template| image(template, component)).is_some_and(|image| says(said, image))
    };
    let was_let_go = |upgrade: &Arc<Value>| list(upgrade, "/status/components").any(|line| text(line, "/startedAt").is_some());
    !guard.cluster.naming(Kind::ReplicaSet, namespace, release).iter().any(is_of_said) && !upgrade.as_ref().is_some_and(was_let_go)
}

/// Whether the values of a state, with its chart's defaults, name this image.
fn says(state: &Release, image: &str) -> bool {
    let said = |path: &str| state.effective.lookup(path).found().and_then(|entry| entry.node.value.as_str());
    said("image.all.tag") == tag_of(image) && said("image.all.repository") == Some(repository_of(image))
}

/// What becomes of `preserveValues`.
#[derive(Debug, PartialEq)]
enum Carries {
    /// It is not asked for.
    Nothing,
    /// It stays: nobody carries the values yet.
    Untouched,
    /// It stays, although somebody does: carried values would come out otherwise.
    Otherwise(&'static str),
    /// It is not asked for any more.
    NoLonger,
    /// The Secret carries them.
    Patched(String),
}

/// `upgrade.preserveValues` becomes the Secret of carried values, first in `valuesFrom`, once that is there.
async fn preserve<C: Cluster>(guard: &Guard<C>, request: &Request, object: &Value) -> (json_patch::Patch, Carries) {
    let nothing = json_patch::Patch::default;
    let asked = object.pointer("/spec/upgrade/preserveValues");
    let name = text(object, "/metadata/name").filter(|_| request.kind.kind == "HelmRelease");
    let (Some(name), Some(release)) = (name, release_name(object)) else { return (nothing(), Carries::Nothing) };
    let secret = carried_values_secret(name);
    if asked != Some(&json!(true)) {
        let patch = if asked.is_none() { without_carried(object, &secret) } else { nothing() };
        let carries = if patch.0.is_empty() { Carries::Nothing } else { Carries::NoLonger };
        return (patch, carries);
    }
    let namespace = text(object, "/spec/targetNamespace").unwrap_or(&request.namespace);
    let is_deployed = object.pointer("/spec/kubeConfig").is_none_or(Value::is_null) && !serving(&*guard.cluster, namespace, &release).is_empty();
    if guard.mode(&request.namespace) == super::exceptions::Mode::Audit {
        return (nothing(), Carries::Untouched);
    }
    // The Secret lies beside the HelmRelease: Flux reads values from there only.
    if !is_deployed || !guard.cluster.has_secret(&request.namespace, &secret).await.unwrap_or(false) {
        return (without_carried(object, &secret), Carries::Untouched);
    }
    if let Some(why) = merged_otherwise(object) {
        return (without_carried(object, &secret), Carries::Otherwise(why));
    }
    let mut patching = Patching::new(object);
    patching.set("/spec/upgrade/preserveValues", json!(false));
    let reference = carried_values(&secret);
    match object.pointer("/spec/valuesFrom").and_then(Value::as_array) {
        Some(sources) if sources.contains(&reference) => {}
        Some(sources) => patching.set("/spec/valuesFrom", std::iter::once(reference).chain(sources.iter().cloned()).collect()),
        None => patching.set("/spec/valuesFrom", json!([reference])),
    }
    (patching.finish(), Carries::Patched(secret))
}

/// Without the carried values, which nobody owns in what was mutated, so that they stay until we take them out: where they are not to be had, and where nobody asks for them any more. The
/// `preserveValues: false` that we left behind belongs to whoever applies the object: it is gone where they no longer write it.
fn without_carried(object: &Value, secret: &str) -> json_patch::Patch {
    let mut patching = Patching::new(object);
    let reference = carried_values(secret);
    if let Some(sources) = object.pointer("/spec/valuesFrom").and_then(Value::as_array).filter(|sources| sources.contains(&reference)) {
        let others: Vec<Value> = sources.iter().filter(|source| **source != reference).cloned().collect();
        if others.is_empty() {
            patching.remove("/spec/valuesFrom");
        } else {
            patching.set("/spec/valuesFrom", Value::Array(others));
        }
    }
    patching.finish()
}

/// Why values of a HelmRelease over carried ones are not what Helm makes of them over those that it reuses. Helm merges after all others are merged: a null then gives a default back, and a list of
/// which one item is set begins empty.
fn merged_otherwise(object: &Value) -> Option<&'static str> {
    let has_index = |source: &Value| text(source, "/targetPath").is_some_and(|path| path.contains('['));
    if object.pointer("/spec/values").is_some_and(has_null) {
        return Some("spec.values has a null, which over carried values would take a default away, and not give it back");
    }
    let sources = object.pointer("/spec/valuesFrom").and_then(Value::as_array);
    sources
        .is_some_and(|sources| sources.iter().any(has_index))
        .then_some("a targetPath of spec.valuesFrom sets an item of a list, which would be one of a carried list")
}

/// Whether a table has a null in it, or a table below it.
fn has_null(value: &Value) -> bool {
    value.as_object().is_some_and(|table| table.values().any(|value| value.is_null() || has_null(value)))
}

#[cfg(test)]
mod tests;
