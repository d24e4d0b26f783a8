//! Who says something of a change, and how verdicts are written.

use std::collections::BTreeSet;

/// Rules with the severity of the worst finding: `MV205 E`, `MV506 W`. Infos are no part of a verdict: gates do not tell them.
pub(super) type Verdict = BTreeSet<String>;

/// Who judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Column {
    /// `milvus-lint check --base`: a `HelmRelease`, or for charts around Milvus a script with `helm upgrade`.
    Files,
    /// The same on an `Application`.
    ApplicationFile,
    /// The same on a `HelmChart` of k3s.
    HelmChartFile,
    /// The same on rendered manifests.
    ManifestFile,
    /// Gate 1: `helm upgrade` of Helm 3.
    Helm3,
    /// Gate 1: `helm upgrade` of Helm 4.
    Helm4,
    /// Gate 2: a `HelmRelease` is updated.
    HelmRelease,
    /// Gate 2: an `Application` is updated.
    Application,
    /// Gate 2: a `HelmChart` is updated.
    HelmChart,
    /// Gate 3: rendered manifests are applied.
    Applied,
}

impl Column {
    pub(super) const ALL: [Self; 10] = [
        Self::Files,
        Self::ApplicationFile,
        Self::HelmChartFile,
        Self::ManifestFile,
        Self::Helm3,
        Self::Helm4,
        Self::HelmRelease,
        Self::Application,
        Self::HelmChart,
        Self::Applied,
    ];

    /// Whose verdict it has to give, but for the listed differences. A gate has to say what the linter says of the same object.
    pub(super) fn reference(self) -> Option<Self> {
        match self {
            Self::Files => None,
            Self::ApplicationFile | Self::HelmChartFile | Self::ManifestFile | Self::Helm3 | Self::Helm4 | Self::HelmRelease => Some(Self::Files),
            Self::Application => Some(Self::ApplicationFile),
            Self::HelmChart => Some(Self::HelmChartFile),
            Self::Applied => Some(Self::ManifestFile),
        }
    }

    /// The head of its column.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Files => "milvus-lint",
            Self::ApplicationFile => "lint: Application",
            Self::HelmChartFile => "lint: HelmChart",
            Self::ManifestFile => "lint: manifests",
            Self::Helm3 => "Helm 3",
            Self::Helm4 => "Helm 4",
            Self::HelmRelease => "HelmRelease",
            Self::Application => "Application",
            Self::HelmChart => "HelmChart",
            Self::Applied => "kubectl apply",
        }
    }
}

/// The rules that a refusal names: `MV205: why ... Also: MV402, MV404. [...]`.
pub(super) fn refused_by(text: &str) -> Vec<&str> {
    let is_rule = |word: &&str| word.len() == 5 && word.starts_with("MV") && word[2..].bytes().all(|b| b.is_ascii_digit());
    let first = text.split(':').next().into_iter();
    let others = text.rsplit_once(" Also: ").map_or("", |(_, others)| others.split('.').next().unwrap_or_default());
    first.chain(others.split(", ")).filter(is_rule).collect()
}

/// The rule that a warning of the guard is about; nothing for what was so before, and for what is no finding.
pub(super) fn warned_by(text: &str) -> Option<&str> {
    let (rule, _) = text.split_once(": ")?;
    (rule.len() == 5 && rule.starts_with("MV")).then_some(rule)
}

/// A verdict of refusing and of warning rules.
pub(super) fn verdict<'r>(errors: impl IntoIterator<Item = &'r str>, warnings: impl IntoIterator<Item = &'r str>) -> Verdict {
    let errors: BTreeSet<&str> = errors.into_iter().collect();
    let warnings: BTreeSet<&str> = warnings.into_iter().filter(|rule| !errors.contains(rule)).collect();
    errors.iter().map(|rule| format!("{rule} E")).chain(warnings.iter().map(|rule| format!("{rule} W"))).collect()
}
