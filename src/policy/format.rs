//! The form of a rule file. Shared by the library and the build script; documented for authors in `policies/README.md`.

use serde::{Deserialize, Serialize};

use super::case::Case;
use super::condition::{ComponentIs, Condition, EvidenceWord, ValuePath, one_or_many};
use super::text::Template;
use super::words::{FlagKind, NotCheckedKind, Severity};

/// A rule, as its file says it. What only pages and tests need (`why`, `sources`, `tests`) is not in the compiled form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// `MV205`; never reused.
    pub id: String,
    /// The pattern found, in kebab-case: `stop-at-2-5-16`.
    pub name: String,
    /// The worst that it reports.
    pub severity: Severity,
    /// One sentence for lists.
    pub summary: Template,
    /// Why it is dangerous, with what happens.
    #[serde(default, skip_serializing)]
    pub why: String,
    /// What to do, with the exact text to write.
    pub remedy: Template,
    /// A URL or an issue for each claim; `derived: ...` and `judgment: ...` where nobody wrote it down.
    #[serde(default, skip_serializing)]
    pub sources: Vec<String>,
    /// What must be known for the rule to speak.
    pub needs: Needs,
    /// Whose charts it is about.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lineage: Scope,
    /// Silent (and an evidence note of theirs) where one of these rules speaks for the same cause.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub yields_to: Vec<String>,
    /// The value paths that are its cause, where no hit tells them; none: the release as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covers: Vec<String>,
    /// Settings of the rendered configuration whose move it is about: so a workload is judged of which no values are in sight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<String>,
    /// It is about data that the version before wrote: one that was stored and never ran wrote none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub about_written_data: bool,
    /// A one-way door: with evidence of one of these kinds the finding is informational.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub door: Option<Door>,
    /// What must hold for all outcomes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
    /// What the rule walks.
    #[serde(default, skip_serializing_if = "is_default")]
    pub find: Find,
    /// Put all hits into one finding (its `{list}` names them) instead of one finding each.
    #[serde(default, skip_serializing_if = "is_default")]
    pub one_finding: bool,
    /// In order; the first one whose conditions hold speaks.
    pub outcomes: Vec<Outcome>,
    /// Candidates for the primary place; the first one that exists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at: Vec<At>,
    /// Further places, each shown where it exists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<At>,
    /// An edit that applies the remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<FixSpec>,
    /// Its own cases.
    #[serde(default, skip_serializing)]
    pub tests: Vec<Case>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// What must be known for a rule to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Needs {
    /// The state after.
    After,
    /// The state before, too.
    Before,
}

/// Whose charts a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// zilliztech's chart and its archived twin.
    #[default]
    Zilliztech,
    /// Any chart: the rule is about Milvus versions or about the applying tool.
    Any,
}

/// One thing that a rule may say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// How bad it is.
    pub severity: Severity,
    /// What must hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
    /// What to say where unknown values leave it open; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when_unknown: Option<Severity>,
    /// What is known and what happens.
    pub message: Template,
    /// What was before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Template>,
    /// What is after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Template>,
    /// Whether no evidence opens it, although the rule has a door.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
    /// Instead of the rule's remedy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Template>,
    /// Instead of the rule's places.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at: Vec<At>,
}

/// What opens a one-way door without an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Door {
    /// Kinds of evidence that it takes.
    #[serde(deserialize_with = "one_or_many")]
    pub evidence: Vec<EvidenceWord>,
    /// In a cluster its change is held until it is declared, although the finding is only a warning: it is told before anything of it runs.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
}

/// A place. In YAML a word, or a table with one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum At {
    /// What decides the Milvus version: the image tag where one is set, else the chart's version.
    MilvusVersion,
    /// The chart's version.
    ChartVersion,
    /// The chart's name.
    ChartName,
    /// The chart's repository.
    Repository,
    /// Where the declaration begins. Always exists; needs not be named.
    Declaration,
    /// The release's name.
    ReleaseName,
    /// The namespace.
    Namespace,
    /// The hit itself.
    Hit,
    /// The value that decides the message queue.
    Queue,
    /// The user's value at a path.
    Value(ValuePath),
    /// The key of the user's value at a path.
    Key(ValuePath),
    /// A place in `extraConfigFiles."user.yaml"`.
    Config(ValuePath),
    /// A setting of the applying tool.
    Flag(FlagKind),
    /// The same of the state before.
    Before(Box<Self>),
}

/// An edit: replaces a scalar that the user wrote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixSpec {
    /// Imperative title.
    pub title: Template,
    /// Whether it can be applied without looking.
    #[serde(default)]
    pub safe: bool,
    /// The scalar.
    pub replace: At,
    /// Its replacement.
    pub with: Template,
}

/// What a rule walks. In YAML a word, or a table with one key; each hit is judged on its own. The variables of hits: [`Find::variables`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Find {
    /// The release: one hit.
    #[default]
    Release,
    /// User values that `removed-values.yaml` lists and the chart after no longer reads.
    RemovedValues,
    /// User values that no chart version since 2.0 reads.
    DeadValues,
    /// User values at these paths (`*` stands for one key).
    UserValues(Paths),
    /// Effective values at these paths that differ between before and after (`*` stands for one key that the user wrote, before or after).
    ChangedValues(ChangedFind),
    /// Settings of the applying tool.
    Flags(FlagsFind),
    /// Enabled components.
    Components(ComponentIs),
    /// Rows of `bad-versions.yaml` that the version after falls under.
    BadVersions,
    /// User values of before that are missing after while the default differs.
    DroppedValues,
    /// Defaults that change under a release that leaves them open.
    DefaultFlips(FlipsFind),
    /// A values file that repeats the chart's defaults.
    CopiedDefaults(CopiedFind),
    /// User values of a type or unit that the default contradicts.
    WrongTypes,
    /// Images of dependencies that the user names.
    DependencyImages(DependenciesFind),
    /// Keys of an umbrella's values that belong under the dependency's name.
    MisplacedValues,
    /// Parts that could not be seen.
    Gaps(GapsFind),
}

impl Find {
    /// The variables of a hit, each with its meaning.
    #[must_use]
    pub fn variables(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Release => &[],
            Self::RemovedValues => &[
                ("path", "the value path that the user set"),
                ("row", "the path of the table's row"),
                ("removed_at", "the first chart version without it"),
                ("advice", "what to do with it: what replaces it, if the value was read until now"),
                ("effect", "what its loss does, in words"),
                ("row_severity", "`error` or `warning`, from the table"),
                ("switched_off", "`yes` where the user wrote false, else `no`"),
            ],
            Self::DeadValues => &[("path", "the value path that the user set"), ("hint", "` (did you mean X?)`, or nothing")],
            Self::UserValues(_) => &[
                ("path", "the value path"),
                ("key", "the last key of the path"),
                ("value", "what the user wrote"),
                ("top", "the first key of the path"),
                ("is_default", "`yes` where the chart's default says the same, else `no`"),
            ],
            Self::ChangedValues(_) => &[
                ("path", "the value path"),
                ("key", "the last key of the path"),
                ("before_value", "before; `nothing` when absent"),
                ("after_value", "after; `nothing` when absent"),
                ("change", "`added`, `removed`, `grows`, `shrinks` or `differs`"),
                ("before_set_by", "`user` or `default`"),
                ("after_set_by", "`user` or `default`"),
            ],
            Self::Flags(_) => &[("flag", "the setting, as a word of the flag list"), ("value", "its value as written, `none` without one")],
            Self::Components(_) => &[("component", "its values key"), ("label", "the chart's component label"), ("replicas", "their number, or `unknown`")],
            Self::BadVersions => &[
                ("bad", "the row's name"),
                ("text", "what is wrong with it"),
                ("issues", "all that is wrong with the version, of all kinds"),
                ("better", "the version to take instead, itself without any row where one is near"),
                ("advice", "what to do with that version, as the end of a sentence"),
                ("row_severity", "`error`, `warning` or `info`, from the table"),
                ("kind", "`defect`, `vulnerability`, `end-of-life` or `better-target`"),
            ],
            Self::DroppedValues => &[("path", "the value path"), ("after_value", "the default in force now")],
            Self::DefaultFlips(_) => &[("path", "the value path"), ("before_value", "the default before"), ("after_value", "the default after")],
            Self::CopiedDefaults(_) => &[
                ("count", "how many values equal the default"),
                ("total", "how many values the user set"),
                ("chart", "the chart version whose defaults they are"),
            ],
            Self::WrongTypes => &[("path", "the value path"), ("expected", "the type that the default has"), ("found", "the type that the user wrote")],
            Self::DependencyImages(_) => &[
                ("path", "the value path"),
                ("dependency", "its key in the values"),
                ("value", "the tag that the user wrote"),
                ("default", "the tag of the chart"),
            ],
            Self::MisplacedValues => &[("path", "the key as it stands")],
            Self::Gaps(_) => &[("reason", "why, with what to do"), ("gap", "`not-read`, `partly-checked` or `limits-exceeded`")],
        }
    }
}

/// Value paths, `*` for any one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// The paths.
    pub paths: Vec<ValuePath>,
}

/// Value paths that may change, `*` for any one key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChangedFind {
    /// The paths.
    pub paths: Vec<ValuePath>,
    /// A path below one of these counts only while its switch is on, before and after.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub while_on: Vec<WhileOn>,
}

/// A switch of the values below a path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhileOn {
    /// The start of the paths.
    pub under: ValuePath,
    /// The switch.
    pub switch: ValuePath,
}

/// Which settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlagsFind {
    /// Any of these.
    #[serde(deserialize_with = "one_or_many")]
    pub any_of: Vec<FlagKind>,
}

/// Which defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlipsFind {
    /// Only under these paths (none: all).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub under: Vec<ValuePath>,
    /// Not under these paths.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<ValuePath>,
}

/// How many copies make a copy of the defaults.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CopiedFind {
    /// At least that many values equal the default.
    pub at_least: u32,
    /// They are at least this share of all user values, in percent.
    pub share_percent: u32,
}

/// Which dependencies, each with what fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DependenciesFind {
    /// The dependencies.
    pub images: Vec<DependencyImage>,
}

/// The image of a dependency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DependencyImage {
    /// Its key in the values.
    pub dependency: String,
    /// Value paths of its image tags.
    pub tags: Vec<ValuePath>,
    /// Starts of the tags that fit (`2.`); a leading `v` counts for nothing.
    pub fits: Vec<String>,
}

/// Which gaps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GapsFind {
    /// Their kinds.
    #[serde(deserialize_with = "one_or_many")]
    pub kinds: Vec<NotCheckedKind>,
}
