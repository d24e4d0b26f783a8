//! Builds a change from a rule's test case. Places name what they stand for: the file of a place is `after:image.all.tag`.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::case::{Case, CaseState};
use crate::model::catalogue::Catalogue;
use crate::model::change::{Change, ChangeKind, Environment};
use crate::model::declaration::{
    Applier, ChartSource, Declaration, Evidence, EvidenceKind, Flag, Form, Identity, Layer, Lineage, Lock, NotChecked, Operation, SetKind,
};
use crate::model::place::{Fact, Origin, Place, Position};
use crate::model::value::{Entry, Node, Table, Value, escape_key};
use crate::model::version::VersionSpec;
use crate::policy::condition::ToolVersion;

/// What stands for a templated text in a case.
const UNKNOWN: &str = "<unknown>";

/// The change of a case.
///
/// # Errors
/// When the case itself is malformed.
pub(crate) fn change(case: &Case) -> Result<Change, String> {
    let tool = |text: &Option<String>| text.clone().map(ToolVersion::try_from).transpose();
    let environment = Environment {
        kubernetes: tool(&case.kubernetes)?.map(|ToolVersion(major, minor, _)| (major, minor)),
        helm: tool(&case.helm)?.map(|ToolVersion(major, minor, patch)| (major, minor, patch)),
    };
    let declare = |state: &Option<CaseState>, side| state.as_ref().map(|state| State { state, side }.declaration()).transpose();
    let (before, after) = (declare(&case.before, "before")?, declare(&case.after, "after")?);
    let kind = case.change.unwrap_or(match (&before, &after) {
        (Some(_), Some(_)) => ChangeKind::Changed,
        (Some(_), None) => ChangeKind::Removed,
        (None, _) => ChangeKind::Present,
    });
    Change::new(before, after, kind, environment, Catalogue::embedded()).ok_or_else(|| "a case needs `before` or `after`".to_owned())
}

struct State<'a> {
    state: &'a CaseState,
    side: &'a str,
}

impl State<'_> {
    /// The place of something, named after it: line 1 for a key, line 2 for a value.
    fn place(&self, what: &str, line: u32) -> Place {
        let position = |column| Position { line, column };
        Place { file: format!("{}:{what}", self.side).into(), start: position(1), end: position(2) }
    }

    fn at(&self, what: &str) -> Origin {
        Origin::At(self.place(what, 2))
    }

    fn fact(&self, text: Option<&str>, what: &str) -> Fact<Arc<str>> {
        match text {
            None => Fact::Absent,
            Some(UNKNOWN) => Fact::Unknown("it is templated".into(), self.at(what)),
            Some(text) => Fact::Known(text.into(), self.at(what)),
        }
    }

    fn declaration(&self) -> Result<Declaration, String> {
        let state = self.state;
        let form = state.form.unwrap_or(Form::Flux);
        let name = self.fact(Some(state.name.as_deref().unwrap_or("my-release")), "name");
        let namespace = self.fact(Some(state.namespace.as_deref().unwrap_or("milvus")), "namespace");
        let mut declaration = Declaration::blank(form, "", self.place("declaration", 2));
        declaration.identity = Identity { namespace: namespace.known().cloned(), name: name.known().cloned(), ..declaration.identity };
        declaration.path = format!("{}.yaml", self.side).into();
        (declaration.name, declaration.namespace) = (name, namespace);
        declaration.operation = state.operation.unwrap_or(if form == Form::Command { Operation::Upgrade } else { Operation::Declare });
        declaration.chart = ChartSource {
            repository: self.fact(state.repository.as_deref(), "repository"),
            name: self.fact(Some(state.chart_name.as_deref().unwrap_or("milvus")), "chart-name"),
            version: match state.chart.as_deref() {
                None => Fact::Absent,
                Some(UNKNOWN) => Fact::Unknown("it is templated".into(), self.at("chart-version")),
                Some(text) => Fact::Known(VersionSpec::parse(text), self.at("chart-version")),
            },
            lineage: state.lineage.unwrap_or(Lineage::Zilliztech),
            vendored: None,
        };
        declaration.layers = self.layers()?;
        declaration.image = self.fact(state.image.as_deref(), "image");
        declaration.applier = state.applier.unwrap_or(match form {
            Form::Flux | Form::Helmfile | Form::Command | Form::HelmRelease | Form::K3s => Applier::HelmUpgrade,
            Form::ArgoCd | Form::Kustomize => Applier::Template,
            Form::Umbrella | Form::Values | Form::Manifest => Applier::Unknown,
        });
        declaration.strategy = state.strategy.unwrap_or(declaration.strategy);
        declaration.flags = state.flags.iter().map(|text| self.flag(text)).collect::<Result<_, _>>()?;
        declaration.helm = self.fact(state.helm.as_deref(), "helm");
        declaration.kubernetes = self.fact(state.kubernetes.as_deref(), "kubernetes");
        declaration.evidence = state.evidence.iter().map(|text| self.evidence(text)).collect::<Result<_, _>>()?;
        declaration.gaps = state.gaps.iter().map(|kind| self.gap(*kind)).collect();
        declaration.lock = state.lock.as_deref().map(|text| self.lock(text)).transpose()?;
        declaration.misplaced = state.misplaced.iter().map(|key| (key.as_str().into(), self.place(key, 1))).collect();
        declaration.source_only = state.source_only;
        Ok(declaration)
    }

    fn layers(&self) -> Result<Vec<Layer>, String> {
        let state = self.state;
        let mut values = state.values.clone().unwrap_or_else(|| serde_json::json!({}));
        let mut set = |path: &[&str], value: serde_json::Value| insert(&mut values, path, value);
        if let Some(tag) = &state.tag {
            set(&["image", "all", "tag"], tag.as_str().into())?;
        }
        match state.mode.as_deref() {
            None => {}
            Some("standalone") => set(&["cluster", "enabled"], false.into())?,
            Some("cluster") => set(&["cluster", "enabled"], true.into())?,
            Some(other) => return Err(format!("`mode: {other}` is neither standalone nor cluster")),
        }
        if let Some(config) = &state.config {
            set(&["extraConfigFiles", "user.yaml"], config.to_string().into())?;
        }
        let mut layers = Vec::new();
        if values.as_object().is_some_and(|table| !table.is_empty()) {
            layers.push(Layer::Table { values: self.node(&values, ""), what: "spec.values".into() });
        }
        for text in &state.set {
            layers.push(Layer::Set { kind: SetKind::Set, text: text.as_str().into(), place: self.place("set", 2), file: None });
        }
        if let Some(what) = &state.unseen {
            layers.push(Layer::Unseen { what: what.as_str().into(), place: self.place("unseen", 2) });
        }
        Ok(layers)
    }

    fn node(&self, value: &serde_json::Value, path: &str) -> Node {
        let value = match value {
            serde_json::Value::Null => Value::Null,
            serde_json::Value::Bool(value) => Value::Bool(*value),
            serde_json::Value::Number(number) => number.as_i64().map_or_else(|| Value::Float(number.as_f64().unwrap_or_default()), Value::Int),
            serde_json::Value::String(text) if text == UNKNOWN => Value::Unknown("it is templated".into()),
            serde_json::Value::String(text) => Value::String(text.as_str().into()),
            serde_json::Value::Array(items) => Value::List(Arc::new(items.iter().map(|item| self.node(item, path)).collect())),
            serde_json::Value::Object(table) => {
                let entries = table.iter().map(|(key, value)| {
                    let inner = if path.is_empty() { escape_key(key).into_owned() } else { format!("{path}.{}", escape_key(key)) };
                    (key.as_str().into(), Entry { key: Origin::At(self.place(&inner, 1)), node: self.node(value, &inner) })
                });
                Value::Table(Arc::new(Table { entries: entries.collect(), rest_unknown: None }))
            }
        };
        Node { value, origin: self.at(path) }
    }

    fn flag(&self, text: &str) -> Result<Flag, String> {
        let (kind, value) = text.split_once('=').map_or((text, None), |(kind, value)| (kind, Some(value.into())));
        Ok(Flag { kind: read_word(kind)?, value, place: self.place(&format!("flag:{kind}"), 2) })
    }

    fn evidence(&self, text: &str) -> Result<Evidence, String> {
        let mut words = text.split_whitespace();
        let kind = match (words.next(), words.next()) {
            (Some("guarded-upgrade"), Some(to)) => EvidenceKind::GuardedUpgrade { to: to.into(), rolling: words.next() == Some("rolling") },
            (Some("migrate-call"), to) => EvidenceKind::MigrateCall { to: to.map(Into::into) },
            (Some("acknowledged"), Some(rule)) => EvidenceKind::Acknowledged { rule: rule.into(), reference: words.next().unwrap_or("ticket").into() },
            _ => {
                return Err(format!("evidence `{text}`: write `guarded-upgrade VERSION [rolling]`, `migrate-call [VERSION]` or `acknowledged RULE REFERENCE`"));
            }
        };
        Ok(Evidence { kind, text: text.into(), place: Some(self.place("evidence", 2)) })
    }

    fn gap(&self, kind: crate::model::words::NotCheckedKind) -> NotChecked {
        NotChecked::at(self.place("gap", 2), kind, "a part lies elsewhere")
    }

    fn lock(&self, text: &str) -> Result<Lock, String> {
        let known = |text: &str| text.parse().map(|version| Fact::Known(version, self.at("lock"))).map_err(|_| format!("lock `{text}` is no version"));
        Ok(match text {
            "missing" => Lock { version: Fact::Absent, disagrees: false },
            "disagrees" => Lock { version: known("4.0.0")?, disagrees: true },
            version => Lock { version: known(version)?, disagrees: false },
        })
    }
}

fn insert(root: &mut serde_json::Value, path: &[&str], value: serde_json::Value) -> Result<(), String> {
    let Some((last, parents)) = path.split_last() else { return Ok(()) };
    let mut table = root;
    for key in parents {
        let object = table.as_object_mut().ok_or("`values` must be a table")?;
        table = object.entry(*key).or_insert_with(|| serde_json::json!({}));
    }
    table.as_object_mut().ok_or("`values` must be a table")?.insert((*last).to_owned(), value);
    Ok(())
}

fn read_word<T: DeserializeOwned>(word: &str) -> Result<T, String> {
    serde_json::from_value(serde_json::Value::String(word.to_owned())).map_err(|error| error.to_string())
}
