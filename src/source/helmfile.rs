//! helmfile: releases before templating, one per environment that makes a difference.

mod release;
mod state;

use super::context::Context;
use super::same::says_the_same;
use super::{Reading, SourceFile};
use crate::document::yaml::Node;
use crate::model::declaration::Declaration;

use self::state::State;

/// Whether a file is a helmfile: by its name or folder, or by its `releases` that name charts.
#[must_use]
pub fn is_helmfile(file: &SourceFile) -> bool {
    let name = file.file_name();
    if !file.is_yaml() {
        return false;
    }
    if name.starts_with("helmfile") {
        return true;
    }
    if memchr::memmem::find(file.text.as_bytes(), b"releases:").is_none() {
        return false;
    }
    file.folder().rsplit('/').next() == Some("helmfile.d") || file.documents().iter().flatten().any(|d| lists_releases(&d.root))
}

fn lists_releases(root: &Node) -> bool {
    let is_release = |item: &Node| item.get("chart").is_some() && item.get("name").is_some();
    root.get("kind").is_none() && root.get("releases").is_some_and(|list| list.items().iter().any(is_release))
}

/// Reads the releases of Milvus in a helmfile.
#[must_use]
pub fn read(file: &SourceFile, context: &Context<'_>) -> Reading {
    let mut reading = Reading::default();
    if !is_helmfile(file) {
        return reading;
    }
    let mut environments: Vec<(String, Vec<Declaration>)> = Vec::new();
    let (names, too_many) = state::environments(file, context);
    for name in names {
        let state = State::load(file, &name, context);
        let declarations = release::declarations(&state, context);
        if environments.is_empty() {
            reading.gaps.extend(state.gaps.iter().cloned());
        }
        reading.claimed.extend(state.claimed.iter().cloned());
        environments.push((name, declarations));
    }
    reading.declarations = distinct(environments);
    reading.gaps.extend(too_many.filter(|_| !reading.declarations.is_empty()));
    reading
}

/// One of each release where no environment makes a difference, else one per environment.
fn distinct(environments: Vec<(String, Vec<Declaration>)>) -> Vec<Declaration> {
    let mut environments = environments.into_iter();
    let Some((first_name, first)) = environments.next() else {
        return Vec::new();
    };
    let others: Vec<(String, Vec<Declaration>)> = environments.collect();
    let is_same = |(_, other): &(String, Vec<Declaration>)| other.len() == first.len() && first.iter().zip(other).all(|(a, b)| says_the_same(a, b));
    if others.iter().all(is_same) {
        return first;
    }
    let scoped = |(name, declarations): (String, Vec<Declaration>)| {
        declarations.into_iter().map(move |mut declaration| {
            declaration.identity.scope = format!("{}#{name}", declaration.identity.scope).into();
            declaration
        })
    };
    std::iter::once((first_name, first)).chain(others).flat_map(scoped).collect()
}

#[cfg(test)]
mod tests;
