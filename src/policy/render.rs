//! Renders message templates: facts in words.

use crate::model::credential::without_user_info;
use crate::model::declaration::{Form, Operation};
use crate::model::place::{Fact, Origin};
use crate::model::release::{ChartResolution, Mode, QueueKind, QueueServer, Release};
use crate::model::version::VersionSpec;
use crate::policy::condition::{SetBy, ValuePath, ValueTree};
use crate::policy::facts::{self, Facts, Found};
use crate::policy::find::Hit;
use crate::policy::find::printed;
use crate::policy::place::word;
use crate::policy::range::gates_within;
use crate::policy::tables::Gate;
use crate::policy::text::{Piece, Template};

/// What templates are rendered with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Words<'a> {
    /// The gates.
    pub(crate) gates: &'a [Gate],
    /// The change.
    pub(crate) facts: &'a Facts<'a>,
    /// The hit, if the rule walks something.
    pub(crate) hit: Option<&'a Hit>,
    /// With `one_finding`: what was found.
    pub(crate) list: &'a [String],
}

/// A list longer than this is cut.
const MAX_LISTED: usize = 8;

impl Words<'_> {
    /// A template with its placeholders filled in.
    #[must_use]
    pub(crate) fn render(&self, template: &Template) -> String {
        let Ok(pieces) = template.pieces() else { return template.0.clone() };
        let mut text = String::with_capacity(template.0.len() + 64);
        for piece in pieces {
            match piece {
                Piece::Text(part) => text.push_str(part),
                Piece::Name(name) => text.push_str(&without_user_info(&self.word(name))),
            }
        }
        let trimmed = text.trim_end().len();
        text.truncate(trimmed);
        text
    }

    /// The same, or nothing where a placeholder stands for something unknown.
    #[must_use]
    pub(crate) fn render_known(&self, template: &Template) -> Option<String> {
        let known = |piece: &Piece<'_>| !matches!(piece, Piece::Name(name) if self.word(name) == unknown());
        template.pieces().is_ok_and(|pieces| pieces.iter().all(known)).then(|| self.render(template))
    }

    fn word(&self, name: &str) -> String {
        if let Some(value) = self.hit.and_then(|hit| hit.variable(name)) {
            return value.to_owned();
        }
        if let Some((family, path)) = name.split_once(':') {
            return self.family(family, path);
        }
        if name == "catalogue_diff" {
            return self.catalogue_diff();
        }
        if name == "after.range_gates" {
            let gates = self.facts.after.map(|release| gates_within(release, self.gates)).unwrap_or_default();
            return gates.iter().map(|gate| gate.title.as_str()).collect::<Vec<_>>().join("; ");
        }
        if let Some(what) = name.strip_prefix("before.") {
            return self.facts.before.map_or_else(unknown, |release| of_release(release, what));
        }
        if let Some(what) = name.strip_prefix("after.") {
            return self.facts.after.map_or_else(unknown, |release| of_release(release, what));
        }
        let release = self.facts.after.or(self.facts.before);
        let declaration = release.map(|release| &release.declaration);
        let environment = &self.facts.change.environment;
        match name {
            "list" => self.listed(),
            "count" => self.list.len().max(1).to_string(),
            "name" => declaration.and_then(|d| d.name.known()).map_or_else(|| "<release>".to_owned(), ToString::to_string),
            "namespace" => declaration.and_then(|d| d.namespace.known()).map_or_else(|| "<namespace>".to_owned(), ToString::to_string),
            "release" => {
                let Some(declaration) = declaration else { return "the release".to_owned() };
                let name = declaration.name.known().map_or_else(|| "the release".to_owned(), |name| format!("release `{name}`"));
                declaration.namespace.known().map_or_else(|| name.clone(), |namespace| format!("{name} (namespace {namespace})"))
            }
            "applier" => declaration.map_or_else(unknown, |d| applier(d.identity.form, d.operation).to_owned()),
            "helm" => match (environment.helm, declaration.and_then(|d| d.helm.known())) {
                (Some((major, minor, patch)), _) => format!("{major}.{minor}.{patch}"),
                (None, Some(version)) => version.to_string(),
                (None, None) => unknown(),
            },
            "kubernetes" => match (environment.kubernetes, declaration.and_then(|d| d.kubernetes.known())) {
                (Some((major, minor)), _) => format!("{major}.{minor}"),
                (None, Some(version)) => version.to_string(),
                (None, None) => unknown(),
            },
            _ => unknown(),
        }
    }

    /// The sentence that names the command which lists all defaults that change, where both charts are single versions of the catalogue.
    fn catalogue_diff(&self) -> String {
        match (self.facts.before.map(|release| &release.chart), self.facts.after.map(|release| &release.chart)) {
            (Some(ChartResolution::Known(before)), Some(ChartResolution::Known(after))) => {
                format!("`milvus-lint catalogue diff {before} {after}` lists all.")
            }
            _ => String::new(),
        }
    }

    fn family(&self, family: &str, path: &str) -> String {
        let (release, tree) = match family {
            "before.value" => (self.facts.before, ValueTree::Effective),
            "after.value" => (self.facts.after, ValueTree::Effective),
            "before.config" => (self.facts.before, ValueTree::Config),
            "after.config" => (self.facts.after, ValueTree::Config),
            "flag" => {
                let flags = self.facts.after.map(|release| &release.declaration.flags);
                let value = flags.and_then(|flags| flags.iter().find(|flag| word(flag.kind) == path)).and_then(|flag| flag.value.as_deref());
                return value.map_or_else(|| "none".to_owned(), ToOwned::to_owned);
            }
            _ => return unknown(),
        };
        let Some(release) = release else { return unknown() };
        match facts::value(release, tree, &ValuePath::from(path.to_owned())) {
            Found::Entry(entry) => printed(path, &entry.node.value, &entry.node.origin),
            Found::Nothing => "nothing".to_owned(),
            Found::Unknown => unknown(),
        }
    }

    fn listed(&self) -> String {
        let shown = self.list.iter().take(MAX_LISTED).cloned().collect::<Vec<_>>().join(", ");
        match self.list.len().checked_sub(MAX_LISTED) {
            None | Some(0) => shown,
            Some(more) => format!("{shown} and {more} more"),
        }
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn of_release(release: &Release, what: &str) -> String {
    match what {
        "milvus" => milvus(release),
        "chart" => chart(release),
        "milvus_source" => match (&release.image_tag, &release.declaration.image) {
            (Fact::Known(..), _) => "`image.all.tag`".to_owned(),
            (_, Fact::Known(..)) => "its image".to_owned(),
            _ if !facts::chart_known(&release.chart) => "its chart".to_owned(),
            _ => format!("chart {}", chart(release)),
        },
        "mode" => release.mode.map_or_else(unknown, |mode| mode_word(mode).to_owned()),
        "queue" => queue(release),
        "queue_source" => queue_source(release),
        "image_tag" => match &release.image_tag {
            Fact::Known(tag, origin) => origin.secret().map_or_else(|| tag.to_string(), |secret| format!("a value from {secret}")),
            Fact::Unknown(..) => unknown(),
            Fact::Absent => "none".to_owned(),
        },
        "repository" => release.declaration.chart.repository.known().map_or_else(unknown, ToString::to_string),
        "version_spec" => match &release.declaration.chart.version {
            Fact::Known(version, _) => version.to_string(),
            Fact::Unknown(..) => unknown(),
            Fact::Absent => "none".to_owned(),
        },
        _ => unknown(),
    }
}

/// The effective Milvus version in words.
#[must_use]
pub(crate) fn milvus(release: &Release) -> String {
    release.milvus.to_string()
}

/// The chart version in words.
#[must_use]
pub(crate) fn chart(release: &Release) -> String {
    match &release.chart {
        ChartResolution::Known(version) | ChartResolution::NotPublished(version) => version.to_string(),
        ChartResolution::Interval { at_least, below, .. } => match (release.declaration.chart.version.known(), below) {
            (Some(spec), _) => spec.to_string(),
            (None, Some(below)) => format!("{at_least} or later, below {below}"),
            (None, None) => format!("{at_least} or later"),
        },
        ChartResolution::Unknown(_) => unknown(),
    }
}

/// The mode's word.
#[must_use]
pub(crate) fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Standalone => "standalone",
        Mode::Cluster => "cluster",
    }
}

/// The queue in words.
#[must_use]
pub(crate) fn queue(release: &Release) -> String {
    let queue = match &release.queue {
        Fact::Known(queue, _) => queue,
        Fact::Unknown(..) => return unknown(),
        Fact::Absent => return "none".to_owned(),
    };
    let kind = match queue.kind {
        QueueKind::Pulsar => "Pulsar",
        QueueKind::Kafka => "Kafka",
        QueueKind::Rocksmq => "RocksMQ",
        QueueKind::Natsmq => "NATS",
        QueueKind::Woodpecker => "Woodpecker",
    };
    match queue.server {
        QueueServer::Embedded | QueueServer::Unknown => kind.to_owned(),
        QueueServer::BuiltInPulsar2 => "Pulsar 2 (built in)".to_owned(),
        QueueServer::BuiltInPulsar3 => "Pulsar 3 (built in)".to_owned(),
        QueueServer::BuiltInKafka | QueueServer::BuiltInWoodpecker => format!("{kind} (built in)"),
        QueueServer::External => format!("external {kind}"),
    }
}

fn queue_source(release: &Release) -> String {
    let Some(queue) = release.queue.known() else { return unknown() };
    let path = ValuePath::from(queue.decided_by.to_string());
    let origin = match facts::set_by(release, &path.keys) {
        Some(SetBy::User) => "",
        Some(SetBy::Default) => " (chart default)",
        None => " (perhaps)",
    };
    format!("`{}`{origin}", path.text)
}

fn applier(form: Form, operation: Operation) -> &'static str {
    match (form, operation) {
        (Form::Flux, _) => "Flux",
        (Form::ArgoCd, _) => "Argo CD",
        (Form::Helmfile, _) => "helmfile",
        (Form::Command, Operation::Template) => "helm template",
        (Form::Command, Operation::Install) => "helm install",
        (Form::Command, Operation::RollingScript) => "rollingUpdate.sh",
        (Form::Command, Operation::DirectChange) => "kubectl",
        (Form::Command | Form::HelmRelease, _) => "helm upgrade",
        (Form::K3s, _) => "the k3s Helm controller",
        (Form::Kustomize, _) => "kustomize",
        (Form::Umbrella | Form::Values | Form::Manifest, _) => "whatever applies it",
    }
}

/// What was taken for granted about a release, each with its place.
#[must_use]
pub(crate) fn assumptions(release: &Release) -> Vec<(String, Option<Origin>)> {
    let version = &release.declaration.chart.version;
    let mut all = Vec::new();
    if let (ChartResolution::Interval { judged_as, .. }, None) = (&release.chart, &release.chart_assumes) {
        let why = match version.known() {
            Some(VersionSpec::Exact(number)) => format!("chart {number} is newer than the catalogue"),
            Some(spec) => format!("chart version `{spec}` is a range"),
            None => "no chart version is given".to_owned(),
        };
        let milvus = if facts::milvus_known(&release.milvus) { format!(", Milvus {} assumed", release.milvus) } else { String::new() };
        all.push((format!("{why}: judged with the defaults of {judged_as}{milvus}"), version.origin().cloned()));
    }
    all.extend(release.chart_assumes.iter().map(|text| (text.to_string(), None)));
    all.extend(release.milvus_assumes.iter().map(|text| (format!("assumed: {text}"), None)));
    all
}
