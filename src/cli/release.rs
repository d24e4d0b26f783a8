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

/// Reads a file and finds its release; the one of this name where it declares several, else one without a name. Nothing when it declares none.
///
/// # Errors
/// When it cannot be read, or declares several releases, or none of this name.
pub(crate) fn find(path: &Path, release: Option<&str>) -> anyhow::Result<(Inputs, Option<Declaration>)> {
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
    if found.len() > 1 {
        let names: Vec<String> = found.iter().map(describe).collect();
        bail!("`{}` declares {} releases; choose one by its name with --release, or name its file:\n  {}", path.display(), names.len(), names.join("\n  "));
    }
    Ok((inputs, found.pop()))
}

/// Why a file has no release, as far as that is known.
pub(crate) fn why_none(inputs: &Inputs) -> String {
    inputs.reading.gaps.first().map_or_else(String::new, |gap| format!(" ({})", gap.reason))
}

fn describe(declaration: &Declaration) -> String {
    let name = declaration.identity.name.as_deref().unwrap_or("(no name)");
    match &declaration.identity.namespace {
        Some(namespace) => format!("{name} in namespace {namespace} ({})", declaration.place),
        None => format!("{name} ({})", declaration.place),
    }
}
