//! `plan`: the safe way from one Milvus version to another, as commands and as edits of the user's own files.

mod draft;
mod edit;
mod flags;
mod hops;
mod object;
mod simulate;
mod tool;

use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::change::Environment;
use milvus_guard::model::declaration::{Declaration, Form, Layer};
use milvus_guard::model::helm::HelmMajor;
use milvus_guard::model::merge;
use milvus_guard::model::release::Release;
use milvus_guard::model::version::{ChartVersion, EffectiveVersion, MilvusVersion};
use milvus_guard::policy::Policies;
use milvus_guard::policy::plan::{Declared, Request, Topology, plan, version_of};
use milvus_guard::report::{plan_json, plan_markdown, plan_text};
use milvus_guard::source::Tree as _;

use super::args::{PlanArguments, PlanFormat, TopologyName};
use super::inputs::Inputs;
use super::{exit, gaps, known, output, release, values};

/// Runs `plan`.
///
/// # Errors
/// When a version is not known, or a file cannot be read or says too little.
pub(crate) fn run(arguments: &PlanArguments) -> anyhow::Result<ExitCode> {
    let declared = declared(arguments)?;
    if let Some((_, declaration)) = &declared {
        tell_placeholders(arguments, declaration);
    }
    let resolved = declared.as_ref().map(|(_, declaration)| Release::resolve(declaration.clone().into(), None, &Environment::default(), Catalogue::embedded()));
    let file = declared.as_ref().filter(|(_, declaration)| is_edited(declaration)).map(|(inputs, declaration)| of_file(inputs, declaration));
    let request = Request { declared: file, ..request(arguments, resolved.as_ref())? };
    let mut plan = plan(&request, Policies::embedded(), Catalogue::embedded());
    if let Some((inputs, declaration)) = declared.filter(|(_, declaration)| is_edited(declaration)) {
        hops::add_edits(&mut plan, &inputs, declaration);
    }
    if let Some(release) = &resolved {
        plan.not_checked = gaps::entries(&gaps::distinct(release.declaration.gaps.clone()));
    }
    if arguments.simulate {
        simulate::add_timelines(&mut plan);
    }
    let mut out = Vec::new();
    match arguments.format {
        PlanFormat::Text => plan_text::write(&mut out, &plan, output::prose_width()),
        PlanFormat::Json => plan_json::write(&mut out, &plan),
        PlanFormat::Markdown => plan_markdown::write(&mut out, &plan),
    }
    .context("cannot put the plan together")?;
    output::to_stdout(&out)?;
    Ok(if plan.refused.is_some() { ExitCode::from(exit::FINDINGS) } else { ExitCode::SUCCESS })
}

/// The release of `--for`.
fn declared(arguments: &PlanArguments) -> anyhow::Result<Option<(Inputs, Declaration)>> {
    let Some(path) = &arguments.for_path else { return Ok(None) };
    let mut found = release::find(path, arguments.release.as_deref(), arguments.environment.as_deref())?;
    // Who names the chart of a file that declares nothing means a file of values.
    if found.1.is_none() && arguments.chart.is_some() {
        found = release::of_values(path)?;
    }
    let (inputs, declaration) = found;
    match declaration {
        Some(declaration) => Ok(Some((inputs, declaration))),
        None => bail!("`{}` declares no Milvus release that can be read{}; name a file that does", path.display(), release::why_none(&inputs)),
    }
}

/// Names of the commands where nothing names the release.
const PLACEHOLDERS: (&str, &str) = ("my-release", "milvus");

/// Says on standard error what the commands take for name and namespace where the file says neither: an umbrella chart, a file of values.
fn tell_placeholders(arguments: &PlanArguments, declaration: &Declaration) {
    let identity = &declaration.identity;
    if identity.name.is_none() && arguments.release.is_none() {
        let (name, namespace) = PLACEHOLDERS;
        let namespace = arguments.namespace.as_deref().or(identity.namespace.as_deref()).unwrap_or(namespace);
        output::warn(&format!(
            "{} does not name the release: the commands say `{name}` in namespace `{namespace}`; name it with --release and --namespace",
            declaration.place.file
        ));
    }
}

/// Whether people edit the file: what is rendered or stored is made from something else.
fn is_edited(declaration: &Declaration) -> bool {
    !matches!(declaration.identity.form, Form::Manifest | Form::HelmRelease)
}

/// The release as its file declares it, with the object that does.
fn of_file(inputs: &Inputs, declaration: &Declaration) -> Declared {
    let text = inputs.walked.tree.read(&declaration.place.file).unwrap_or_default();
    Declared { declaration: declaration.clone(), object: object::name(&text, &declaration.place) }
}

/// Tells what a chart version installs, where one was given in place of a Milvus version.
fn chart_hint(text: &str) -> String {
    let installed = text.parse::<ChartVersion>().ok().and_then(|chart| Catalogue::embedded().milvus(&chart));
    installed.map_or_else(String::new, |milvus| format!(". {text} is a version of the chart, which installs Milvus {milvus}"))
}

fn request(arguments: &PlanArguments, declared: Option<&Release>) -> anyhow::Result<Request> {
    let version = |text: &str, what: &str| {
        let nearest = text.trim_start_matches('v').parse().map_or_else(|_| String::new(), |version| format!("; {}", known::nearest_lines(version)));
        let version = version_of(text, Policies::embedded(), Catalogue::embedded()).with_context(|| {
            format!("`{text}` is no Milvus version that is known here{nearest}; write it as 2.5.16, or as 2.5 for a line{}", chart_hint(text))
        })?;
        known::milvus(version, what);
        anyhow::Ok(version)
    };
    let from = match (&arguments.from, declared) {
        (Some(text), _) if text.split('.').count() == 2 => {
            bail!("`{text}` is a line, and what runs is one version: read it from the image of the pods, for example 2.5.16")
        }
        (Some(text), _) => version(text, &format!("--from {text}"))?,
        (None, Some(release)) => declared_version(release)?,
        (None, None) => bail!("name the version that runs with --from"),
    };
    if let Some(release) = declared {
        warn_of_other_version(from, release);
    }
    let given = arguments.chart.as_deref().map(given_chart).transpose()?;
    let declared_chart = declared.and_then(|release| release.chart.judged_as().cloned());
    let identity = declared.map(|release| &release.declaration.identity);
    let or_default = |given: &Option<String>, declared: Option<&str>, default: &str| given.as_deref().or(declared).unwrap_or(default).into();
    Ok(Request {
        from,
        to: version(&arguments.to, &format!("--to {}", arguments.to))?,
        from_chart: given.or(declared_chart),
        topology: arguments.topology.map(|name| match name {
            TopologyName::Standalone => Topology::Standalone,
            TopologyName::SeparateCoordinators => Topology::SeparateCoordinators,
            TopologyName::MixCoordinator => Topology::MixCoordinator,
            TopologyName::Cluster => Topology::Cluster,
        }),
        values: user_values(arguments, declared)?,
        name: or_default(&arguments.release, identity.and_then(|identity| identity.name.as_deref()), PLACEHOLDERS.0),
        namespace: or_default(&arguments.namespace, identity.and_then(|identity| identity.namespace.as_deref()), PLACEHOLDERS.1),
        declared: None,
    })
}

/// The chart of `--chart`.
fn given_chart(text: &str) -> anyhow::Result<ChartVersion> {
    let chart = text.parse().with_context(|| format!("--chart {text} is no chart version; write it as 4.2.58"))?;
    known::chart(&chart, &format!("--chart {text}"))?;
    Ok(chart)
}

fn declared_version(release: &Release) -> anyhow::Result<MilvusVersion> {
    match &release.milvus {
        EffectiveVersion::Exact(version) => Ok(*version),
        EffectiveVersion::Interval { .. } => bail!("the file leaves open which Milvus version runs; name it with --from"),
        EffectiveVersion::Unknown(reason) => bail!("the file does not tell which Milvus version runs ({reason}); name it with --from"),
    }
}

/// Says on standard error when the file says another version than the plan begins with.
fn warn_of_other_version(from: MilvusVersion, release: &Release) {
    match &release.milvus {
        EffectiveVersion::Exact(said) if *said != from => output::warn(&format!(
            "--from {from}: {} says {said}; the plan begins with {from}, and where reverting its edits is the way back, that brings {said}. Leave --from out to plan from {said}",
            release.declaration.place.file
        )),
        _ => {}
    }
}

/// The values of the release: those that are declared, then the files.
fn user_values(arguments: &PlanArguments, declared: Option<&Release>) -> anyhow::Result<Option<milvus_guard::model::value::Node>> {
    if declared.is_none() && arguments.values.is_empty() {
        return Ok(None);
    }
    let mut layers: Vec<Layer> = declared.map(|release| release.declaration.layers.clone()).unwrap_or_default();
    for file in &arguments.values {
        layers.push(values::values_file(file, HelmMajor::default())?);
    }
    let values = merge::user_values(&layers, HelmMajor::Three).map_err(|refused| anyhow!("Helm refuses these values: {refused}"))?;
    Ok(Some(values))
}
