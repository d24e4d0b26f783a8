//! What can be typed: subcommands, options, help with examples.

use std::path::PathBuf;
use std::str::FromStr;

use clap::builder::styling::{AnsiColor, Styles};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum, ValueHint};

use milvus_guard::model::finding::Severity;
use milvus_guard::model::helm::HelmMajor;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

const EXIT_CODES: &str = "\
Exit codes of check (`milvus-lint help plan` tells those of plan):
  0  nothing found at or above --fail-on
  1  findings at or above --fail-on (with --base only new ones; with --strict what was not checked, too)
  2  wrong usage, or something could not be read
  3  no Milvus release found although --require-milvus was given";

/// Tells what an upgrade of Milvus by Helm would break, at the line that was written, before it is merged.
#[derive(Debug, Parser)]
#[command(name = "milvus-lint", version, styles = STYLES, after_help = EXIT_CODES, max_term_width = 110)]
#[command(propagate_version = false, arg_required_else_help = true, subcommand_required = true)]
pub(crate) struct Arguments {
    /// When to use colours; NO_COLOR and CLICOLOR are honoured.
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub(crate) color: ColorChoice,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Judge the Milvus releases of a tree, or what a change does to them.
    Check(Box<CheckArguments>),
    /// Print the safe way from one Milvus version to another.
    Plan(Box<PlanArguments>),
    /// Print the effective values that Helm would compute.
    Values(Box<ValuesArguments>),
    /// Print the page of a rule.
    Explain(ExplainArguments),
    /// List the rules, or run their own tests.
    #[command(subcommand)]
    Rules(RulesCommand),
    /// What is known about the versions of the chart.
    #[command(subcommand)]
    Catalogue(CatalogueCommand),
    /// Print the completions for a shell.
    #[command(after_help = "Example:\n  milvus-lint completions bash > /etc/bash_completion.d/milvus-lint")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Print a published JSON Schema.
    #[command(after_help = "Example:\n  milvus-lint schema check > check.schema.json")]
    Schema {
        /// Which one; without a name the names are listed.
        name: Option<String>,
    },
}

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = concat!("\
Examples:
  milvus-lint check                                  judge the tree below the current folder
  milvus-lint check --base origin/main               judge what this branch changes
  milvus-lint check clusters/prod --fail-on warning  one folder, warnings fail as well
  helm template milvus zilliztech/milvus | milvus-lint check -
  milvus-lint check prod.yaml --values prod.yaml --before 4.1.24
  milvus-lint check --format github --output sarif=milvus.sarif
  milvus-lint check --output json=- --output sarif=milvus.sarif

", "Exit codes:
  0  nothing found at or above --fail-on
  1  findings at or above --fail-on (with --base only new ones; with --strict what was not checked, too)
  2  wrong usage, or something could not be read
  3  no Milvus release found although --require-milvus was given"))]
pub(crate) struct CheckArguments {
    /// Files or folders; `-` reads rendered manifests from standard input. What they refer to elsewhere in the same git work tree is looked at as well. Reports name files
    /// from the top of the work tree.
    #[arg(value_name = "PATH", default_value = ".", value_hint = ValueHint::AnyPath)]
    pub(crate) paths: Vec<PathBuf>,
    /// Compare with the merge base of this git revision and HEAD: findings are marked as new or pre-existing, and only new ones count for --fail-on.
    #[arg(long, value_name = "REV")]
    pub(crate) base: Option<String>,
    /// What ran before, where the comparison does not tell: a chart version; a file or a folder that declares the release; a file of its values; or a file with what `helm list
    /// -o json`, `helm get values` or `helm get manifest` prints (may be given several times: a version and values).
    #[arg(long, value_name = "FILE|FOLDER|VERSION", value_hint = ValueHint::AnyPath)]
    pub(crate) before: Vec<String>,
    /// Take this file as values of the Milvus chart, whatever its name (may be given several times).
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) values: Vec<PathBuf>,
    /// Version of Kubernetes that runs the release, where files do not say it.
    #[arg(long, value_name = "VERSION")]
    pub(crate) kube_version: Option<KubernetesVersion>,
    /// Version of the Helm client, where files do not say it.
    #[arg(long, value_name = "VERSION")]
    pub(crate) helm_version: Option<HelmVersion>,
    /// Whose value rules to follow, 3 or 4: they disagree on some nulls. By default as files say, else 3.
    #[arg(long, value_name = "MAJOR", value_parser = helm_majors())]
    pub(crate) helm: Option<HelmMajor>,
    /// The lowest severity that makes the exit code 1.
    #[arg(long, value_name = "SEVERITY", default_value = "error")]
    pub(crate) fail_on: FailOn,
    /// What could not be checked, or only in part, counts as an error; with --base also where it was so before.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Exit with 3 when no Milvus release is found.
    #[arg(long)]
    pub(crate) require_milvus: bool,
    /// What is printed [default: text].
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// Write a report to a file as well (may be given several times); as FILE `-` is standard output, in place of --format.
    #[arg(long, value_name = "FORMAT=FILE")]
    pub(crate) output: Vec<Output>,
    /// Files above this size are not read: bytes, or with K, M or G.
    #[arg(long, value_name = "SIZE", default_value = "10M")]
    pub(crate) max_file_size: Size,
}

/// Arguments of `plan`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  milvus-lint plan --from 2.1.4 --to 2.6.15
  milvus-lint plan --from 2.5.10 --to 2.6.15 --values prod.yaml --format markdown
  milvus-lint plan --to 2.6.15 --for clusters/prod/milvus.yaml
  milvus-lint plan --from 2.5.22 --to 2.6.15 --simulate

Exit codes:
  0  there is a path, or nothing to do
  1  there is no safe path; the reason is printed
  2  wrong usage, or something could not be read")]
pub(crate) struct PlanArguments {
    /// Milvus version that runs now, in full: 2.4.16; with --for the file says it.
    #[arg(long, value_name = "VERSION", required_unless_present = "for_path")]
    pub(crate) from: Option<String>,
    /// Milvus version wanted: 2.6.15, or 2.6 for the last one of its line.
    #[arg(long, value_name = "VERSION")]
    pub(crate) to: String,
    /// The release's own values (may be given several times, later ones win).
    #[arg(long, short = 'f', value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) values: Vec<PathBuf>,
    /// How Milvus runs now, where the values do not say it.
    #[arg(long, value_name = "TOPOLOGY")]
    pub(crate) topology: Option<TopologyName>,
    /// Chart version that is installed; by default the newest that carries the Milvus version.
    #[arg(long, value_name = "VERSION")]
    pub(crate) chart: Option<String>,
    /// Name of the release, for the commands (without one they say `my-release`); with --for which release of the file, or how one is called that the file does not name.
    #[arg(long, value_name = "NAME")]
    pub(crate) release: Option<String>,
    /// Namespace of the release, for the commands; without one that of the file, else `milvus`.
    #[arg(long, short = 'n', value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// The file that declares the release: the plan is one for it and for the tool that applies it, with the edit of each hop as a diff.
    #[arg(long = "for", value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) for_path: Option<PathBuf>,
    /// With --for, of which environment the release is, where a helmfile or an umbrella chart has several.
    #[arg(long, short = 'e', value_name = "NAME", requires = "for_path")]
    pub(crate) environment: Option<String>,
    /// Show for each hop what is replaced when and what is away meanwhile, as milvus-guard carries it out, in an imagined cluster.
    #[arg(long)]
    pub(crate) simulate: bool,
    /// What is printed.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: PlanFormat,
}

/// Arguments of `values`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  milvus-lint values --chart 4.2.58 -f prod.yaml --set image.all.tag=v2.5.16
  milvus-lint values clusters/prod/milvus.yaml --only-set --origin
  milvus-lint values clusters/prod/milvus.yaml --release search --format json")]
pub(crate) struct ValuesArguments {
    /// A file that declares a release.
    #[arg(value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub(crate) path: Option<PathBuf>,
    /// The chart version; with PATH, in place of the one that is declared there.
    #[arg(long, value_name = "VERSION")]
    pub(crate) chart: Option<String>,
    /// Which release of PATH, where it declares several.
    #[arg(long, value_name = "NAME", requires = "path")]
    pub(crate) release: Option<String>,
    /// Of which environment, where a helmfile or an umbrella chart has several.
    #[arg(long, short = 'e', value_name = "NAME", requires = "path")]
    pub(crate) environment: Option<String>,
    /// A values file (may be given several times, later ones win).
    #[arg(long = "values", short = 'f', value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) files: Vec<PathBuf>,
    /// As Helm's --set.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// As Helm's --set-string.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set_string: Vec<String>,
    /// As Helm's --set-json.
    #[arg(long, value_name = "KEY=JSON")]
    pub(crate) set_json: Vec<String>,
    /// As Helm's --set-literal.
    #[arg(long, value_name = "KEY=TEXT")]
    pub(crate) set_literal: Vec<String>,
    /// As Helm's --set-file.
    #[arg(long, value_name = "KEY=FILE")]
    pub(crate) set_file: Vec<String>,
    /// Whose value rules to follow: Helm 3 and 4 disagree on some nulls.
    #[arg(long, value_name = "MAJOR", default_value = "3", value_parser = helm_majors())]
    pub(crate) helm: HelmMajor,
    /// Tell where each value comes from: file, line and column, the command line, or the chart's defaults.
    #[arg(long)]
    pub(crate) origin: bool,
    /// Print only values that are set by files or flags, not the chart's defaults.
    #[arg(long)]
    pub(crate) only_set: bool,
    /// Print what looks like a credential and what comes from a Secret, too; without it both are masked.
    #[arg(long)]
    pub(crate) show_secrets: bool,
    /// What is printed.
    #[arg(long, value_name = "FORMAT", default_value = "yaml")]
    pub(crate) format: DataFormat,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  milvus-lint explain MV205\n  milvus-lint explain stop-at-2-5-16")]
pub(crate) struct ExplainArguments {
    /// The rule's id or name.
    pub(crate) rule: String,
}

/// Subcommands of `rules`.
#[derive(Debug, Subcommand)]
pub(crate) enum RulesCommand {
    /// List all rules.
    #[command(after_help = "Example:\n  milvus-lint rules list --format json")]
    List {
        /// What is printed.
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: TableFormat,
    },
    /// Run each rule's own cases, and the mutations of its conditions.
    #[command(after_help = "Examples:\n  milvus-lint rules test\n  milvus-lint rules test MV205")]
    Test {
        /// Only these rules.
        #[arg(value_name = "RULE")]
        rules: Vec<String>,
        /// What is printed.
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: TableFormat,
    },
}

/// Subcommands of `catalogue`.
#[derive(Debug, Subcommand)]
pub(crate) enum CatalogueCommand {
    /// List all chart versions.
    #[command(after_help = "Example:\n  milvus-lint catalogue list --format json")]
    List {
        /// What is printed.
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: TableFormat,
    },
    /// Show one chart version: date, status, image, dependencies.
    #[command(after_help = "Example:\n  milvus-lint catalogue show 4.2.58")]
    Show {
        /// The chart version.
        version: String,
        /// What is printed.
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: TableFormat,
    },
    /// Show which default values change between two chart versions.
    #[command(after_help = "Example:\n  milvus-lint catalogue diff 4.2.58 5.0.19")]
    Diff {
        /// The chart version before.
        before: String,
        /// The chart version after.
        after: String,
        /// What is printed.
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: TableFormat,
    },
}

/// Formats of the reports of `check`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people: source excerpts with carets.
    Text,
    /// Versioned JSON (`milvus-lint schema check`).
    Json,
    /// SARIF 2.1.0.
    Sarif,
    /// GitHub workflow annotations.
    Github,
}

/// Formats of `plan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlanFormat {
    /// For people.
    Text,
    /// JSON (`milvus-lint schema plan`).
    Json,
    /// Markdown, for a ticket or a pull request.
    Markdown,
}

/// How Milvus runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TopologyName {
    /// One Deployment.
    Standalone,
    /// A cluster with separate coordinators.
    SeparateCoordinators,
    /// A cluster with the mix coordinator.
    MixCoordinator,
    /// A cluster with the coordinators that the installed chart gives by default.
    Cluster,
}

/// Formats of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DataFormat {
    /// YAML, keys sorted as Helm prints them.
    Yaml,
    /// JSON.
    Json,
}

/// Formats of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TableFormat {
    /// For people.
    Text,
    /// JSON.
    Json,
}

/// `--fail-on`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    /// Errors only.
    Error,
    /// Warnings and errors.
    Warning,
    /// Any finding.
    Info,
    /// Never: the exit code does not depend on findings.
    Never,
}

impl FailOn {
    /// The lowest severity that fails, or none.
    pub(crate) fn threshold(self) -> Option<Severity> {
        match self {
            Self::Error => Some(Severity::Error),
            Self::Warning => Some(Severity::Warning),
            Self::Info => Some(Severity::Info),
            Self::Never => None,
        }
    }
}

/// Reads the major version of Helm.
fn helm_majors() -> impl TypedValueParser<Value = HelmMajor> {
    PossibleValuesParser::new(["3", "4"]).map(|major| if major == "4" { HelmMajor::Four } else { HelmMajor::Three })
}

/// `FORMAT=FILE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) format: Format,
    pub(crate) file: PathBuf,
}

impl FromStr for Output {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (format, file) = text.split_once('=').ok_or("write FORMAT=FILE, as in sarif=milvus.sarif")?;
        let format =
            <Format as ValueEnum>::from_str(format, false).map_err(|_| format!("`{format}` is not a format; the formats are text, json, sarif and github"))?;
        if file.is_empty() {
            return Err("the name of the file is missing after `=`".to_owned());
        }
        Ok(Self { format, file: PathBuf::from(file) })
    }
}

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let upper = text.to_ascii_uppercase();
        let digits = upper.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor: u64 = match upper.get(digits.len()..).unwrap_or_default() {
            "" | "B" => 1,
            "K" | "KB" | "KIB" => 1 << 10,
            "M" | "MB" | "MIB" => 1 << 20,
            "G" | "GB" | "GIB" => 1 << 30,
            unit => return Err(format!("`{unit}` is not a unit of size; use K, M or G")),
        };
        let number: u64 = digits.parse().map_err(|_| "write a whole number of bytes, or one with K, M or G, as in 10M".to_owned())?;
        match number.checked_mul(factor) {
            // A text above 1 GiB is no text that people write; the bound keeps offsets and memory sane.
            Some(bytes) if (1..=1 << 30).contains(&bytes) => Ok(Self(bytes)),
            _ => Err("it must be between 1 byte and 1G".to_owned()),
        }
    }
}

/// A version of Kubernetes: major and minor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KubernetesVersion(pub(crate) u32, pub(crate) u32);

impl FromStr for KubernetesVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut numbers = numbers_of(text);
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(major), Some(minor)) => Ok(Self(major, minor)),
            _ => Err("write it as 1.30 or v1.30.2".to_owned()),
        }
    }
}

/// A version of the Helm client; parts that are not written are taken as the highest, since `3.14` names a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HelmVersion(pub(crate) u32, pub(crate) u32, pub(crate) u32);

impl FromStr for HelmVersion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || "write it as 3.14 or v3.14.2".to_owned();
        let mut numbers = numbers_of(text);
        let (Some(major), Some(minor)) = (numbers.next().flatten(), numbers.next().flatten()) else { return Err(error()) };
        match numbers.next() {
            None => Ok(Self(major, minor, u32::MAX)),
            Some(Some(patch)) => Ok(Self(major, minor, patch)),
            Some(None) => Err(error()),
        }
    }
}

/// The numbers of `v1.2.3-suffix`; `None` for what is not a number.
fn numbers_of(text: &str) -> impl Iterator<Item = Option<u32>> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let text = text.split(['-', '+']).next().unwrap_or_default();
    text.split('.').map(|part| part.parse().ok())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn sizes_have_units_and_bounds() {
        assert_eq!("10M".parse(), Ok(Size(10 << 20)));
        assert_eq!("1".parse(), Ok(Size(1)));
        assert_eq!("64kib".parse(), Ok(Size(64 << 10)));
        for wrong in ["", "0", "M", "-1", "10X", "99999999999G", "2G", "1.5M"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn versions_of_tools_are_read_with_and_without_v() {
        assert_eq!("v1.30.2-eks-1".parse(), Ok(KubernetesVersion(1, 30)));
        assert_eq!("v3.14.2".parse(), Ok(HelmVersion(3, 14, 2)));
        assert_eq!("3.14".parse(), Ok(HelmVersion(3, 14, u32::MAX)));
        assert!("3".parse::<HelmVersion>().is_err());
        assert!("1.x".parse::<KubernetesVersion>().is_err());
    }

    #[test]
    fn an_output_names_format_and_file() {
        assert_eq!("sarif=a=b".parse(), Ok(Output { format: Format::Sarif, file: "a=b".into() }));
        assert!("sarif".parse::<Output>().is_err());
        assert!("xml=a".parse::<Output>().unwrap_err().contains("xml"));
    }
}
