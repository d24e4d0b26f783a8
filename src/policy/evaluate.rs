//! Evaluates conditions on a change. What is unknown stays unknown; nothing is guessed.

use std::sync::Arc;

use crate::model::catalogue::Catalogue;
use crate::model::declaration::{Declaration, Evidence, EvidenceKind, FlagKind, Layer, Operation};
use crate::model::place::Fact;
use crate::model::release::{ChartResolution, Component, Queue, QueueServer, Release};
use crate::model::truth::Truth;
use crate::model::value::{Node, Value};
use crate::model::version::{EffectiveVersion, ImageTag, TagMeaning, VersionSpec};
use crate::policy::answer::Answer;
use crate::policy::bound::Milvus;
use crate::policy::condition::{
    ChartIs, ChartSpec, ChartState, ComponentIs, Condition, Crosses, Direction, EvidenceIs, EvidenceWord, Field, FlagIs, ImageTagIs, Knowable, Known,
    LockState, MilvusIs, QueueIs, Scalar, Several, Side, TagKind, ToolVersion, ValueIs, ValuePath, ValueTree, ValueType,
};
use crate::policy::facts::{self, Facts, Found};
use crate::policy::find::Hit;
use crate::policy::names;
use crate::policy::range::gates_within;
use crate::policy::tables::Gate;

/// What conditions are evaluated on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context<'a> {
    /// The change.
    pub(crate) facts: Facts<'a>,
    /// The hit; nothing while the rule's own conditions are evaluated.
    pub(crate) hit: Option<&'a Hit>,
    /// The gates.
    pub(crate) gates: &'a [Gate],
}

impl Context<'_> {
    /// Whether all conditions hold; stops at the first that does not.
    #[must_use]
    pub(crate) fn all(&self, conditions: &[Condition]) -> Answer {
        let mut answer = Answer::Yes;
        for condition in conditions {
            answer = answer.and(self.holds(condition));
            if answer == Answer::No {
                break;
            }
        }
        answer
    }

    /// Whether at least one condition holds; stops at the first that does.
    fn any(&self, conditions: &[Condition]) -> Answer {
        let mut answer = Answer::No;
        for condition in conditions {
            answer = answer.or(self.holds(condition));
            if answer == Answer::Yes {
                break;
            }
        }
        answer
    }

    /// Whether a condition holds.
    #[must_use]
    pub(crate) fn holds(&self, condition: &Condition) -> Answer {
        match condition {
            Condition::Any(inner) => self.any(inner),
            Condition::All(inner) => self.all(inner),
            Condition::Not(inner) => !self.holds(inner),
            Condition::Several(several) => self.several(several),
            Condition::Milvus(is) => self.on(is.side, |release| assumed(milvus_is(&release.milvus, is), release.milvus_assumes.is_some())),
            Condition::Chart(is) => self.on(is.side, |release| assumed(chart_is(release, is), release.chart_assumes.is_some())),
            Condition::Crosses(crosses) => self.both(|before, after| crosses_version(before, after, crosses)),
            Condition::CrossesGate(id) => match self.gates.iter().find(|gate| gate.id == *id) {
                Some(gate) => self.both(|before, after| crosses_gate(before, after, gate)),
                None => Answer::No,
            },
            Condition::MilvusChange(direction) => self.both(|before, after| {
                let known = facts::milvus_known(&before.milvus) && facts::milvus_known(&after.milvus);
                let down = if is_pinned(before, after) { Truth::No } else { after.milvus.lower_than(&before.milvus) };
                moves(*direction, before.milvus.lower_than(&after.milvus), down, before.milvus == after.milvus, known)
            }),
            Condition::ChartChange(direction) => self.both(|before, after| {
                let known = facts::chart_known(&before.chart) && facts::chart_known(&after.chart);
                let up = facts::chart_lower(&before.chart, &after.chart);
                let down = if is_pinned(before, after) { Truth::No } else { facts::chart_lower(&after.chart, &before.chart) };
                moves(*direction, up, down, before.chart == after.chart, known)
            }),
            Condition::ChartState(states) => self.after(|release| states.iter().any(|state| chart_state(release, *state)).into()),
            Condition::ChartNumberIsMilvus(is) => self.after(|release| (facts::chart_number_is_milvus(&release.chart) == *is).into()),
            Condition::ChartSpec(specs) => self.after(|release| specs.contains(&chart_spec(&release.declaration)).into()),
            Condition::RangeSpansGate(spans) => self.after(|release| (gates_within(release, self.gates).is_empty() != *spans).into()),
            Condition::ImageTag(is) => self.on(is.side, |release| image_tag_is(release, is)),
            Condition::ChangeKind(kinds) => kinds.contains(&self.facts.change.kind).into(),
            Condition::Mode(is) => self.on(is.side, |release| Answer::from_option(release.mode.map(|mode| mode == is.is))),
            Condition::Changed(field) => self.both(|before, after| Answer::from_option(field_differs(before, after, *field))),
            Condition::ValueChanged(path) => self.both(|before, after| Answer::from_option(value_differs(before, after, ValueTree::Effective, path))),
            Condition::ConfigChanged(path) => self.both(|before, after| Answer::from_option(value_differs(before, after, ValueTree::Config, path))),
            Condition::Queue(is) => self.on(is.side, |release| queue_is(release, is)),
            Condition::Component(is) => self.on(is.side, |release| component_is(release, is)),
            Condition::ObjectStore(is) => self.on(is.side, |release| match &release.objects {
                Fact::Known(store, _) => is.kind.contains(&store.kind).into(),
                Fact::Unknown(..) | Fact::Absent => Answer::Unknown,
            }),
            Condition::Value(is) => self.on(is.side, |release| value_is(release, is)),
            Condition::Flag(is) => self.on(is.side, |release| flag_is(&release.declaration, is)),
            Condition::Operation(operations) => self.after(|release| operations.contains(&release.declaration.operation).into()),
            Condition::Applier(appliers) => self.after(|release| appliers.contains(&release.declaration.applier).into()),
            Condition::Strategy(strategies) => self.after(|release| strategies.contains(&release.declaration.strategy).into()),
            Condition::Lineage(lineages) => self.after(|release| lineages.contains(&release.declaration.chart.lineage).into()),
            Condition::Form(forms) => self.after(|release| forms.contains(&release.declaration.identity.form).into()),
            Condition::Repository(is) => self.after(|release| match &release.declaration.chart.repository {
                Fact::Known(url, _) => is.contains.iter().any(|part| url.contains(part.as_str())).into(),
                Fact::Unknown(..) => Answer::Unknown,
                Fact::Absent => Answer::No,
            }),
            Condition::Lock(states) => self.after(|release| states.contains(&lock_state(&release.declaration)).into()),
            Condition::RollingAsked(asked) => self.after(|release| (rolling_asked(release) == *asked).into()),
            Condition::SourceOnly(only) => self.after(|release| (release.declaration.source_only == *only).into()),
            Condition::Evidence(is) => self.after(|release| self.evidence_is(&release.declaration, is).into()),
            Condition::Known(known) => is_known(self.facts.side(known.side), known).into(),
            Condition::HelmClient(is) => self.tool(self.facts.change.environment.helm.map(|(a, b, c)| ToolVersion(a, b, c)), |d| &d.helm, &is.below),
            Condition::Kubernetes(is) => self.tool(self.facts.change.environment.kubernetes.map(|(a, b)| ToolVersion(a, b, 0)), |d| &d.kubernetes, &is.below),
            Condition::Hit(is) => self.hit.and_then(|hit| hit.variable(&is.name)).is_some_and(|value| is.one_of.iter().any(|one| one == value)).into(),
        }
    }

    /// Whether there is evidence of a kind. An acknowledgement that was there before answered for an earlier change.
    fn evidence_is(&self, declaration: &Declaration, is: &EvidenceIs) -> bool {
        let was_there = |evidence: &Evidence| self.facts.before.is_some_and(|before| before.declaration.evidence.iter().any(|e| e.kind == evidence.kind));
        declaration.evidence.iter().any(|evidence| match &evidence.kind {
            EvidenceKind::GuardedUpgrade { .. } => is.rule.is_none() && is.kind.contains(&EvidenceWord::GuardedUpgrade),
            EvidenceKind::MigrateCall { .. } => is.rule.is_none() && is.kind.contains(&EvidenceWord::MigrateCall),
            EvidenceKind::Acknowledged { rule, .. } => {
                is.kind.contains(&EvidenceWord::Acknowledged) && is.rule.as_ref().is_none_or(|wanted| **wanted == **rule) && !was_there(evidence)
            }
        })
    }

    /// Whether enough of several conditions hold.
    fn several(&self, several: &Several) -> Answer {
        let answers: Vec<Answer> = several.of.iter().map(|condition| self.holds(condition)).collect();
        let count = |wanted: &[Answer]| answers.iter().filter(|answer| wanted.contains(answer)).count();
        if count(&[Answer::Yes]) >= several.at_least {
            Answer::Yes
        } else if count(&[Answer::Yes, Answer::Partly]) >= several.at_least {
            Answer::Partly
        } else if count(&[Answer::Yes, Answer::Partly, Answer::Unknown]) >= several.at_least {
            Answer::Unknown
        } else {
            Answer::No
        }
    }

    fn on(&self, side: Side, test: impl FnOnce(&Release) -> Answer) -> Answer {
        self.facts.side(side).map_or(Answer::Unknown, test)
    }

    fn after(&self, test: impl FnOnce(&Release) -> Answer) -> Answer {
        self.on(Side::After, test)
    }

    fn both(&self, test: impl FnOnce(&Release, &Release) -> Answer) -> Answer {
        match (self.facts.before, self.facts.after) {
            (Some(before), Some(after)) => test(before, after),
            _ => Answer::Unknown,
        }
    }

    /// A tool's version: as told on the command line, else as the file says.
    fn tool(&self, told: Option<ToolVersion>, said: impl Fn(&Declaration) -> &Fact<std::sync::Arc<str>>, below: &ToolVersion) -> Answer {
        let version = told.or_else(|| self.facts.after.and_then(|release| ToolVersion::try_from(said(&release.declaration).known()?.to_string()).ok()));
        Answer::from_option(version.map(|version| version < *below))
    }
}

/// What rests on something that is taken for granted holds in part only.
fn assumed(answer: Answer, taken_for_granted: bool) -> Answer {
    if taken_for_granted && answer == Answer::Yes { Answer::Partly } else { answer }
}

fn milvus_is(version: &EffectiveVersion, is: &MilvusIs) -> Answer {
    let known = facts::milvus_known(version);
    let mut answer = Answer::Yes;
    if let (Some(at_least), below) = (&is.at_least, &is.below) {
        answer = Answer::of_version(version.within(&at_least.bound(), below.as_ref().map(Milvus::bound).as_ref()), known);
    } else if let Some(below) = &is.below {
        answer = Answer::of_version(version.below(&below.bound()), known);
    }
    if !is.any_of.is_empty() {
        let any = is.any_of.iter().fold(Truth::No, |truth, one| truth.or(version.is(&one.0)));
        answer = answer.and(Answer::of_version(any, known));
    }
    if let Some(pre_release) = is.pre_release {
        answer = answer.and(Answer::from_option(version.exact().map(|version| version.is_pre_release() == pre_release)));
    }
    answer
}

fn chart_is(release: &Release, is: &ChartIs) -> Answer {
    let chart = &release.chart;
    let known = facts::chart_known(chart);
    let mut truth = Truth::Yes;
    if let Some(at_least) = &is.at_least {
        truth = truth.and(chart.at_least(&at_least.0));
    }
    if let Some(below) = &is.below {
        truth = truth.and(chart.below(&below.0));
    }
    if !is.any_of.is_empty() {
        let declared = release.declaration.chart.version.known().and_then(VersionSpec::exact);
        let any = is.any_of.iter().any(|one| declared == Some(&one.0) || matches!(chart, ChartResolution::Known(exact) if *exact == one.0));
        truth = truth.and(any.into());
    }
    Answer::of_version(truth, known)
}

/// The same version or the same interval on both sides: nothing was touched, so no boundary lies between.
fn untouched(before: &Release, after: &Release) -> bool {
    before.milvus == after.milvus && before.chart == after.chart
}

/// Pinned to a member of the range that was there: it may have been a later one, but nobody went down on purpose.
fn is_pinned(before: &Release, after: &Release) -> bool {
    matches!(before.chart, ChartResolution::Interval { .. }) && before.milvus.lowest().zip(after.milvus.lowest()).is_some_and(|(before, after)| after >= before)
}

/// Whether a boundary is crossed. A version after that only may lie behind it is unknown, not a step over it: an interval begins at the newest version that is
/// known, and what comes later may be anything. MV104 and MV105 tell of such charts.
fn crosses_version(before: &Release, after: &Release, crosses: &Crosses) -> Answer {
    if untouched(before, after) || (crosses.downwards && is_pinned(before, after)) {
        return Answer::No;
    }
    let (below_before, below_after, known) = match (&crosses.milvus, &crosses.chart) {
        (Some(version), _) => {
            let below_after = after.milvus.below(&version.bound());
            (before.milvus.below(&version.bound()), below_after, milvus_known(before, after) && (crosses.downwards || below_after != Truth::Maybe))
        }
        (None, Some(version)) => {
            (before.chart.below(&version.0), after.chart.below(&version.0), facts::chart_known(&before.chart) && facts::chart_known(&after.chart))
        }
        (None, None) => return Answer::No,
    };
    let truth = if crosses.downwards { (!below_before).and(below_after) } else { below_before.and(!below_after) };
    let granted = match crosses.milvus {
        Some(_) => before.milvus_assumes.is_some() || after.milvus_assumes.is_some(),
        None => before.chart_assumes.is_some() || after.chart_assumes.is_some(),
    };
    assumed(Answer::of_version(truth, known), granted)
}

fn crosses_gate(before: &Release, after: &Release, gate: &Gate) -> Answer {
    if untouched(before, after) {
        return Answer::No;
    }
    let behind = after.milvus.at_least(&gate.to_at_least.bound());
    let truth = before.milvus.below(&gate.from_below.0).and(behind);
    let known = milvus_known(before, after) && behind != Truth::Maybe;
    assumed(Answer::of_version(truth, known), before.milvus_assumes.is_some() || after.milvus_assumes.is_some())
}

fn milvus_known(before: &Release, after: &Release) -> bool {
    facts::milvus_known(&before.milvus) && facts::milvus_known(&after.milvus)
}

fn moves(direction: Direction, up: Truth, down: Truth, same: bool, known: bool) -> Answer {
    let truth = match direction {
        // The same interval on both sides: nothing was touched, so it did not move.
        _ if same && known => (direction == Direction::Same).into(),
        Direction::Up => up,
        Direction::Down => down,
        Direction::Any => up.or(down),
        Direction::Same => !up.or(down),
    };
    Answer::of_version(truth, known)
}

/// The words for a chart's resolution; a newer one is an interval too.
fn chart_state(release: &Release, state: ChartState) -> bool {
    match (&release.chart, state) {
        (ChartResolution::Known(_), ChartState::Known)
        | (ChartResolution::Interval { .. }, ChartState::Interval)
        | (ChartResolution::NotPublished(_), ChartState::NotPublished)
        | (ChartResolution::Unknown(_), ChartState::Unknown) => true,
        (ChartResolution::Interval { .. }, ChartState::Newer) => chart_spec(&release.declaration) == ChartSpec::Exact,
        _ => false,
    }
}

/// How the chart's version is written.
#[must_use]
pub(crate) fn chart_spec(declaration: &Declaration) -> ChartSpec {
    match &declaration.chart.version {
        Fact::Known(VersionSpec::Exact(_), _) => ChartSpec::Exact,
        Fact::Known(VersionSpec::Range(_), _) => ChartSpec::Range,
        Fact::Known(VersionSpec::Malformed(_), _) => ChartSpec::Malformed,
        Fact::Unknown(..) => ChartSpec::Templated,
        Fact::Absent => ChartSpec::Unpinned,
    }
}

fn image_tag_is(release: &Release, is: &ImageTagIs) -> Answer {
    let tag = release.image_tag.known().map(|tag| ImageTag::parse(tag));
    let fits = |kind: &TagKind| match (kind, &release.image_tag, &tag) {
        (TagKind::Default, Fact::Absent, _) | (TagKind::Set, Fact::Known(..), _) | (TagKind::Templated, Fact::Unknown(..), _) => true,
        (TagKind::Version, _, Some(tag)) => matches!(tag.meaning, TagMeaning::Version { .. }),
        (TagKind::Behind, _, Some(tag)) => {
            let default = release.chart.judged_as().and_then(|chart| Catalogue::embedded().milvus(chart));
            tag.version().zip(default).is_some_and(|(tag, default)| tag < default)
        }
        (TagKind::VMissing, _, Some(tag)) => matches!(tag.meaning, TagMeaning::Version { v_missing: true, .. }),
        (TagKind::Mutable, _, Some(tag)) => matches!(tag.meaning, TagMeaning::Mutable(_)),
        (TagKind::Malformed, _, Some(tag)) => matches!(tag.meaning, TagMeaning::Malformed(_)),
        (TagKind::Custom, _, Some(tag)) => tag.meaning == TagMeaning::Custom,
        _ => false,
    };
    is.is.iter().any(fits).into()
}

fn field_differs(before: &Release, after: &Release, field: Field) -> Option<bool> {
    let both = |a: Option<bool>, b: Option<bool>| if a == Some(true) || b == Some(true) { Some(true) } else { a.and(b) };
    match field {
        Field::Milvus => (facts::milvus_known(&before.milvus) && facts::milvus_known(&after.milvus)).then(|| before.milvus != after.milvus),
        Field::MilvusMinor => before.milvus.exact().zip(after.milvus.exact()).map(|(before, after)| before.line() != after.line()),
        Field::ChartAppVersion => facts::chart_app(&before.chart).zip(facts::chart_app(&after.chart)).map(|(before, after)| before != after),
        Field::Chart => (facts::chart_known(&before.chart) && facts::chart_known(&after.chart)).then(|| before.chart != after.chart),
        Field::Mode => before.mode.zip(after.mode).map(|(before, after)| before != after),
        Field::QueueKind => facts::facts_differ(&before.queue, &after.queue, |queue| queue.kind),
        Field::QueueServer => {
            let told = |release: &Release| release.queue.known().is_none_or(|queue| queue.server != QueueServer::Unknown);
            if told(before) && told(after) { facts::facts_differ(&before.queue, &after.queue, |queue| queue.server) } else { None }
        }
        Field::QueueAddress => facts::facts_differ(&before.queue, &after.queue, |queue| queue.address.clone()),
        Field::PulsarNamespace => {
            let namespace = |release: &Release| release.queue.known().and_then(|queue| queue.pulsar_namespace.clone());
            namespace(before).zip(namespace(after)).map(|(before, after)| before != after)
        }
        Field::MetadataEndpoints => facts::facts_differ(&before.metadata, &after.metadata, |store| store.external_endpoints.clone()),
        Field::MetadataCluster => match (before.metadata.known(), after.metadata.known()) {
            (Some(before), Some(after)) => {
                let (before, after) = (&before.external_endpoints, &after.external_endpoints);
                Some(before != after && !before.iter().any(|endpoint| after.contains(endpoint)))
            }
            _ => None,
        },
        Field::MetadataRootPath => facts::facts_differ(&before.metadata, &after.metadata, |store| store.root_path.clone()),
        Field::MetadataMysql => facts::facts_differ(&before.metadata, &after.metadata, |store| store.mysql),
        Field::ObjectStoreKind => facts::facts_differ(&before.objects, &after.objects, |store| store.kind),
        Field::ObjectStoreEndpoint => facts::facts_differ(&before.objects, &after.objects, |store| store.endpoint.clone()),
        Field::Bucket => facts::facts_differ(&before.objects, &after.objects, |store| store.bucket.clone()),
        Field::ObjectStoreRootPath => facts::facts_differ(&before.objects, &after.objects, |store| store.root_path.clone()),
        Field::MinioMode => facts::facts_differ(&before.objects, &after.objects, |store| store.minio_mode.clone()),
        Field::CloudProvider => facts::facts_differ(&before.objects, &after.objects, |store| store.cloud_provider.clone()),
        Field::ReleaseName => both(said_differ(before, after, |declaration| &declaration.name), Some(false)),
        Field::ObjectNames => {
            names::fullname(before).zip(names::fullname(after)).map(|(before, after)| before != after).or_else(|| names::overrides_differ(before, after))
        }
        Field::NameLabel => names::label(before).zip(names::label(after)).map(|(before, after)| before != after),
        Field::Namespace => said_differ(before, after, |declaration| &declaration.namespace),
        Field::Cluster => setting_differs(before, after, FlagKind::Cluster),
        Field::StorageNamespace => setting_differs(before, after, FlagKind::StorageNamespace),
    }
}

pub(crate) fn value_differs(before: &Release, after: &Release, tree: ValueTree, path: &ValuePath) -> Option<bool> {
    match (facts::value(before, tree, path), facts::value(after, tree, path)) {
        (Found::Unknown, _) | (_, Found::Unknown) => None,
        (Found::Nothing, Found::Nothing) => Some(false),
        (Found::Entry(a), Found::Entry(b)) if facts::both_empty(&a.node.value, &b.node.value) => Some(false),
        (Found::Entry(a), Found::Entry(b)) => facts::values_equal(&a.node.value, &b.node.value).map(|equal| !equal),
        // A key that a chart adds or drops, left empty, changes nothing for a template.
        (Found::Entry(entry), Found::Nothing) | (Found::Nothing, Found::Entry(entry)) => entry.node.value.truthy(),
    }
}

fn queue_is(release: &Release, is: &QueueIs) -> Answer {
    let queue: &Queue = match &release.queue {
        Fact::Known(queue, _) => queue,
        Fact::Unknown(..) => return Answer::Unknown,
        Fact::Absent => return (is.absent == Some(true)).into(),
    };
    let fits =
        is.absent != Some(true) && (is.kind.is_empty() || is.kind.contains(&queue.kind)) && is.by_lookup.is_none_or(|by_lookup| by_lookup == queue.by_lookup);
    let server =
        if is.server.is_empty() { Answer::Yes } else { Answer::from_option((queue.server != QueueServer::Unknown).then(|| is.server.contains(&queue.server))) };
    let set_by = is.set_by.map_or(Answer::Yes, |by| {
        let path = ValuePath::from(queue.decided_by.to_string());
        Answer::from_option(facts::set_by(release, &path.keys).map(|found| found == by))
    });
    Answer::from(fits).and(server).and(set_by)
}

fn component_is(release: &Release, is: &ComponentIs) -> Answer {
    if release.mode.is_none() {
        return Answer::Unknown;
    }
    release.components.iter().fold(Answer::No, |answer, component| answer.or(component_fits(component, is)))
}

/// Whether an enabled component fits a pattern.
#[must_use]
pub(crate) fn component_fits(component: &Component, is: &ComponentIs) -> Answer {
    if !is.any_of.is_empty() && !is.any_of.iter().any(|name| name == component.values_key) {
        return Answer::No;
    }
    let replicas = |test: &dyn Fn(i64) -> bool| Answer::from_option(component.replicas.map(test));
    let mut answer = Answer::of_version(component.enabled, false);
    if let Some(at_least) = is.replicas_at_least {
        answer = answer.and(replicas(&|number| number >= at_least));
    }
    if let Some(below) = is.replicas_below {
        answer = answer.and(replicas(&|number| number < below));
    }
    if let Some(active_standby) = is.active_standby {
        answer = answer.and(Answer::from_option(component.active_standby.map(|found| found == active_standby)));
    }
    answer
}

fn value_is(release: &Release, is: &ValueIs) -> Answer {
    let set_by = is.set_by.map_or(Answer::Yes, |by| Answer::from_option(facts::set_by(release, &is.path.keys).map(|found| found == by)));
    if set_by == Answer::No {
        return Answer::No;
    }
    let value = match facts::value(release, is.of, &is.path) {
        Found::Entry(entry) => &entry.node.value,
        Found::Nothing => &Value::Null,
        Found::Unknown => return Answer::Unknown,
    };
    let text = || value.as_str().unwrap_or_default();
    let number = || match value {
        #[allow(clippy::cast_precision_loss, reason = "counts and sizes in rules are small")]
        Value::Int(int) => Some(*int as f64),
        Value::Float(float) => Some(*float),
        _ => None,
    };
    let fits = is.exists.is_none_or(|exists| exists != (*value == Value::Null))
        && is.is.as_ref().is_none_or(|scalar| equals(value, scalar))
        && (is.one_of.is_empty() || is.one_of.iter().any(|scalar| equals(value, scalar)))
        && is.at_least.is_none_or(|bound| number().is_some_and(|number| number >= bound))
        && is.below.is_none_or(|bound| number().is_some_and(|number| number < bound))
        && (is.starts_with.is_empty() || is.starts_with.iter().any(|start| text().starts_with(start.as_str())))
        && (is.contains.is_empty() || is.contains.iter().any(|part| text().contains(part.as_str())))
        && is.text_below.as_ref().is_none_or(|bound| value.as_str().is_some_and(|text| text < bound.as_str()))
        && (is.types.is_empty() || is.types.contains(&type_of(value)));
    let truthy = is.truthy.map_or(Answer::Yes, |truthy| Answer::from_option(value.truthy().map(|found| found == truthy)));
    Answer::from(fits).and(truthy).and(set_by)
}

fn equals(value: &Value, scalar: &Scalar) -> bool {
    match (value, scalar) {
        (Value::Bool(a), Scalar::Bool(b)) => a == b,
        (Value::Int(a), Scalar::Int(b)) => a == b,
        (Value::Float(a), Scalar::Float(b)) => a == b,
        (Value::String(a), Scalar::Text(b)) => **a == **b,
        _ => false,
    }
}

/// The word for a value's type.
#[must_use]
pub(crate) fn type_of(value: &Value) -> ValueType {
    match value {
        Value::Null | Value::Unknown(_) => ValueType::Null,
        Value::Bool(_) => ValueType::Bool,
        Value::Int(_) | Value::Float(_) => ValueType::Number,
        Value::String(_) => ValueType::Text,
        Value::List(_) => ValueType::List,
        Value::Table(_) => ValueType::Table,
    }
}

fn flag_is(declaration: &Declaration, is: &FlagIs) -> Answer {
    let mut answer = Answer::No;
    for flag in declaration.flags.iter().filter(|flag| is.any_of.contains(&flag.kind)) {
        answer = answer.or(match is.below_seconds {
            None => Answer::Yes,
            Some(bound) => Answer::from_option(flag.value.as_deref().and_then(seconds).map(|seconds| seconds < bound)),
        });
    }
    answer
}

/// Whether a release is named otherwise. What one form leaves to its tool, another says: between two forms only what both say can differ.
fn said_differ(before: &Release, after: &Release, part: impl Fn(&Declaration) -> &Fact<Arc<str>>) -> Option<bool> {
    let (before, after) = (&before.declaration, &after.declaration);
    let (earlier, later) = (part(before), part(after));
    if before.identity.form != after.identity.form && (earlier.is_absent() || later.is_absent()) {
        return None;
    }
    facts::facts_differ(earlier, later, Clone::clone)
}

/// Whether a setting of the same tool has another value, or is there on one side only. Argo CD's name of a cluster and a URL may mean the same one.
fn setting_differs(before: &Release, after: &Release, kind: FlagKind) -> Option<bool> {
    let (before, after) = (&before.declaration, &after.declaration);
    let setting = |declaration: &Declaration| declaration.flags.iter().find(|flag| flag.kind == kind).map(|flag| flag.value.clone());
    match (setting(before), setting(after)) {
        _ if before.identity.form != after.identity.form => None,
        (None, None) => Some(false),
        (Some(Some(before)), Some(Some(after))) => (before.contains("://") == after.contains("://")).then(|| before != after),
        (Some(None), _) | (_, Some(None)) => None,
        (Some(_), None) | (None, Some(_)) => Some(true),
    }
}

/// Go's duration (`1h10m`, `300s`, `1.5h`; a bare number as Helm 2 wrote it counts seconds), in whole seconds.
#[must_use]
pub(crate) fn seconds(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if let Ok(bare) = rest.parse::<u64>() {
        return Some(bare);
    }
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, after) = rest.split_at_checked(end)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_end)?;
        let factor = match unit {
            "h" => 3600.0,
            "m" => 60.0,
            "s" => 1.0,
            "ms" => 1e-3,
            "us" | "µs" => 1e-6,
            "ns" => 1e-9,
            _ => return None,
        };
        total += number.parse::<f64>().ok()? * factor;
        rest = after;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and saturating is right")]
    (!text.trim().is_empty()).then_some(total as u64)
}

fn lock_state(declaration: &Declaration) -> LockState {
    match &declaration.lock {
        None => LockState::None,
        Some(lock) if lock.disagrees => LockState::Disagrees,
        Some(lock) if lock.version.is_absent() => LockState::Missing,
        Some(_) => LockState::Agrees,
    }
}

/// Coordinators by their values keys.
pub(crate) const COORDINATORS: &[&str] = &["rootCoordinator", "queryCoordinator", "indexCoordinator", "dataCoordinator", "mixCoordinator"];

fn child<'a>(node: &'a Node, key: &str) -> Option<&'a Node> {
    node.table().and_then(|table| table.entries.get(key)).map(|entry| &entry.node)
}

fn rolling_asked(release: &Release) -> bool {
    let declaration = &release.declaration;
    declaration.operation == Operation::RollingScript
        || declaration.evidence.iter().any(|evidence| matches!(evidence.kind, EvidenceKind::GuardedUpgrade { rolling: true, .. }))
        || COORDINATORS.iter().any(|coordinator| {
            let kind = child(&release.user, coordinator).and_then(|node| child(node, "strategy")).and_then(|node| child(node, "type"));
            kind.is_some_and(|kind| kind.value.as_str() == Some("RollingUpdate"))
        })
}

fn is_known(release: Option<&Release>, known: &Known) -> bool {
    release.is_some_and(|release| match known.what {
        Knowable::Release => true,
        Knowable::Milvus => facts::milvus_known(&release.milvus),
        Knowable::Chart => facts::chart_known(&release.chart),
        Knowable::Mode => release.mode.is_some(),
        Knowable::Queue => !release.queue.is_unknown(),
        Knowable::Values => !release.declaration.layers.iter().any(|layer| matches!(layer, Layer::Unseen { .. })),
    })
}
