//! The one release that a command is about, in a file that declares it.

use std::path::Path;

use anyhow::bail;

use milvus_guard::model::declaration::{Declaration, Form};

use super::inputs::{Inputs, Named};

/// The largest file that is read for one release, in bytes.
pub(crate) const MAX_FILE_BYTES: u64 = 10 << 20;

/// Reads a file as values of the Milvus chart, whatever it looks like.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn of_values(path: &Path) -> anyhow::Result<(Inputs, Option<Declaration>)> {
    let inputs = Inputs::read(Named { paths: &[], values: &[path.to_owned()], limit_bytes: MAX_FILE_BYTES })?;
    let found = inputs.reading.declarations.iter().find(|declaration| declaration.identity.form == Form::Values).cloned();
    Ok((inputs, found))
}

/// Reads a file and finds its release; the one of this name where it declares several, else one without a name, and of those the one of this environment.
/// Nothing when it declares none.
///
/// # Errors
/// When it cannot be read, or declares several releases, or none of this name or environment.
pub(crate) fn find(path: &Path, release: Option<&str>, environment: Option<&str>) -> anyhow::Result<(Inputs, Option<Declaration>)> {
    let inputs = Inputs::read(Named { paths: &[path.to_owned()], values: &[], limit_bytes: MAX_FILE_BYTES })?;
    let mut found: Vec<Declaration> = inputs.reading.declarations.iter().filter(|declaration| inputs.concerns(declaration)).cloned().collect();
    if let Some(name) = release.filter(|_| !found.iter().all(|declaration| declaration.identity.form == Form::Values)) {
        // What names no release, as an umbrella chart does, may be the one.
        let wanted = Some(name).filter(|name| found.iter().any(|declaration| declaration.identity.name.as_deref() == Some(name)));
        found.retain(|declaration| declaration.identity.name.as_deref() == wanted);
        if found.is_empty() {
            bail!("`{}` declares no release `{name}`", path.display());
        }
    }
    if let Some(wanted) = environment.filter(|_| !found.is_empty()) {
        let known: Vec<String> = found.iter().filter_map(environment_of).map(ToOwned::to_owned).collect();
        // What no environment changes is so in all of them.
        found.retain(|d| environment_of(d).map_or(d.identity.form == Form::Helmfile, |environment| environment == wanted));
        if found.is_empty() {
            let known = if known.is_empty() { "it knows none".to_owned() } else { format!("it knows {}", known.join(", ")) };
            bail!("`{}` declares no release in environment `{wanted}`; {known}", path.display());
        }
    }
    if found.len() > 1 {
        let names: Vec<String> = found.iter().map(describe).collect();
        let how = if found.iter().any(|d| environment_of(d).is_some()) { "--release and its environment with --environment" } else { "--release" };
        bail!("`{}` declares {} releases; choose one by its name with {how}, or name its file:\n  {}", path.display(), names.len(), names.join("\n  "));
    }
    Ok((inputs, found.pop()))
}

/// Why a file has no release, as far as that is known; what was not read of other files is no reason.
pub(crate) fn why_none(inputs: &Inputs) -> String {
    let gaps = inputs.walked.gaps.iter().chain(&inputs.reading.gaps);
    gaps.into_iter().find(|gap| inputs.holds(&gap.file)).map_or_else(String::new, |gap| format!(" ({})", gap.reason))
}

/// The environment of a helmfile or an umbrella chart that a release stands for.
fn environment_of(declaration: &Declaration) -> Option<&str> {
    declaration.identity.scope.split_once('#').map(|(_, environment)| environment)
}

fn describe(declaration: &Declaration) -> String {
    let name = declaration.identity.name.as_deref().unwrap_or("(no name)");
    let namespace = declaration.identity.namespace.as_ref().map_or_else(String::new, |namespace| format!(" in namespace {namespace}"));
    let environment = environment_of(declaration).map_or_else(String::new, |environment| format!(", environment {environment}"));
    format!("{name}{namespace}{environment} ({})", declaration.place)
}
