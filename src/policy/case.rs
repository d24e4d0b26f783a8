//! The test cases of a rule file: before and after in a compact form, and what the rule must say.

use serde::Deserialize;

use super::words::{Applier, ChangeKind, Form, Lineage, NotCheckedKind, Operation, Severity, ValuesStrategy};

/// One case.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// A sentence.
    pub name: String,
    /// The state before, if there is one.
    #[serde(default)]
    pub before: Option<CaseState>,
    /// The state after, if there is one.
    #[serde(default)]
    pub after: Option<CaseState>,
    /// What happened; by default `changed` with a before, `present` without.
    #[serde(default)]
    pub change: Option<ChangeKind>,
    /// `--kube-version`, quoted.
    #[serde(default)]
    pub kubernetes: Option<String>,
    /// `--helm-version`, quoted.
    #[serde(default)]
    pub helm: Option<String>,
    /// Run all rules, so that precedence counts (else the rule alone).
    #[serde(default)]
    pub among_all: bool,
    /// The rule's worst finding.
    pub expect: Expect,
    /// How many findings of the rule.
    #[serde(default)]
    pub findings: Option<usize>,
    /// Texts that the message of one finding has.
    #[serde(default)]
    pub message_has: Vec<String>,
    /// Texts that the remedy of one finding has.
    #[serde(default)]
    pub remedy_has: Vec<String>,
    /// The primary place: `chart-version`, `declaration`, `flag:reuse-values`, or a value path; `before:` in front for the state before.
    #[serde(default)]
    pub at: Option<String>,
}

/// What a rule must say in a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expect {
    /// An error.
    Error,
    /// A warning.
    Warning,
    /// Information.
    Info,
    /// Nothing.
    Silent,
}

impl Expect {
    /// As a severity; `silent` is none.
    #[must_use]
    pub fn severity(self) -> Option<Severity> {
        match self {
            Self::Error => Some(Severity::Error),
            Self::Warning => Some(Severity::Warning),
            Self::Info => Some(Severity::Info),
            Self::Silent => None,
        }
    }
}

/// A state in a case. All but the odd one is left out.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseState {
    /// The chart's version or range; absent: unpinned; `<unknown>`: templated.
    pub chart: Option<String>,
    /// User values. The text `<unknown>` stands for a templated value.
    pub values: Option<serde_json::Value>,
    /// Short for `values: {image: {all: {tag: ..}}}`.
    pub tag: Option<String>,
    /// Short for `values: {cluster: {enabled: ..}}`: `standalone` or `cluster`.
    pub mode: Option<String>,
    /// `extraConfigFiles."user.yaml"`, as a table.
    pub config: Option<serde_json::Value>,
    /// Arguments of `--set`.
    #[serde(default)]
    pub set: Vec<String>,
    /// What a direct change or a manifest sets as image.
    pub image: Option<String>,
    /// By default `flux`.
    pub form: Option<Form>,
    /// By default what the form implies.
    pub applier: Option<Applier>,
    /// By default `replace`.
    pub strategy: Option<ValuesStrategy>,
    /// By default `declare`, for commands `upgrade`.
    pub operation: Option<Operation>,
    /// Settings: `reuse-values`, `timeout=5m`.
    #[serde(default)]
    pub flags: Vec<String>,
    /// By default `zilliztech`.
    pub lineage: Option<Lineage>,
    /// URL of the chart's repository.
    pub repository: Option<String>,
    /// The chart's name; by default `milvus`.
    pub chart_name: Option<String>,
    /// By default `milvus`.
    pub namespace: Option<String>,
    /// By default `my-release`.
    pub name: Option<String>,
    /// The Helm client's version that the file says.
    pub helm: Option<String>,
    /// The Kubernetes version that the file says.
    pub kubernetes: Option<String>,
    /// `guarded-upgrade 2.6.15`, `migrate-call 2.2.16` (or without a version), `acknowledged MV210 ticket-7`.
    #[serde(default)]
    pub evidence: Vec<String>,
    /// Values that cannot be seen: what they are, in words.
    pub unseen: Option<String>,
    /// The chart's files merely lie in the tree.
    #[serde(default)]
    pub source_only: bool,
    /// The lock of an umbrella chart: `missing`, `disagrees`, or the locked version.
    pub lock: Option<String>,
    /// Keys of an umbrella's values at the wrong level.
    #[serde(default)]
    pub misplaced: Vec<String>,
    /// Parts that could not be seen.
    #[serde(default)]
    pub gaps: Vec<NotCheckedKind>,
}
