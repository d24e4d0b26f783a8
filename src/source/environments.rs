//! Finds the values files of environments beside a chart: `values-prod.yaml`, `prod/values.yaml`, `environments/prod.yaml` and the like.

use std::sync::Arc;

use super::context::Context;

/// More environments of one chart than this are not looked at.
const MAX_ENVIRONMENTS: usize = 1_000;

/// An environment's values file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Environment {
    /// The environment, from the path: `prod`, `eu/prod`.
    pub name: Arc<str>,
    /// The file.
    pub path: Arc<str>,
}

impl Environment {
    /// Whether its name says production.
    #[must_use]
    pub fn is_production(&self) -> bool {
        self.name.split(['/', '-', '_', '.']).any(|part| environment_word(part) == Some("prod"))
    }
}

/// What a word says about an environment, in its shortest form: `prod` for `prod`, `prd`, `production` and `live`.
#[must_use]
pub fn environment_word(word: &str) -> Option<&'static str> {
    const WORDS: &[(&str, &[&str])] = &[
        ("dev", &["dev", "devel", "development"]),
        ("test", &["test", "testing", "tst", "qa"]),
        ("stage", &["stage", "staging", "stg", "uat", "acc", "acceptance", "preprod"]),
        ("prod", &["prod", "prd", "production", "live"]),
        ("sandbox", &["sandbox", "sbx", "playground"]),
    ];
    WORDS.iter().find(|(_, words)| words.contains(&word)).map(|(short, _)| *short)
}

/// The environments of the chart in a folder, by path. Subcharts, templates and examples are none.
#[must_use]
pub fn environments(folder: &str, context: &Context<'_>) -> Vec<Environment> {
    let inside = |path: &Arc<str>| -> Option<Environment> {
        let relative = if folder.is_empty() { &**path } else { path.strip_prefix(folder)?.strip_prefix('/')? };
        let name = environment_name(relative)?;
        if relative.contains('/') && belongs_to_another_chart(folder, relative, context) {
            return None;
        }
        Some(Environment { name: name.into(), path: path.clone() })
    };
    context.below(folder).iter().filter_map(inside).take(MAX_ENVIRONMENTS).collect()
}

fn belongs_to_another_chart(folder: &str, relative: &str, context: &Context<'_>) -> bool {
    let mut at = relative;
    while let Some((parent, _)) = at.rsplit_once('/') {
        let chart = if folder.is_empty() { format!("{parent}/Chart.yaml") } else { format!("{folder}/{parent}/Chart.yaml") };
        if context.exists(&chart) {
            return true;
        }
        at = parent;
    }
    false
}

/// The environment that a values file's path names, relative to its chart.
fn environment_name(relative: &str) -> Option<String> {
    let (folders, file) = relative.rsplit_once('/').unwrap_or(("", relative));
    let stem = file.strip_suffix(".yaml").or_else(|| file.strip_suffix(".yml"))?;
    if folders.split('/').count() > 3
        || folders.split('/').any(|f| matches!(f, "templates" | "charts" | "crds" | "files" | "ci" | "tests" | "examples" | ".github"))
    {
        return None;
    }
    let of_file = if stem == "values" { Some("") } else { of_stem(stem) };
    let name = match (folders, of_file) {
        ("", Some("")) => return None,
        ("", Some(name)) => name.to_owned(),
        ("", None) => return None,
        (folders, Some("")) => environment_folder(folders).to_owned(),
        (folders, Some(name)) => format!("{}/{name}", environment_folder(folders)).trim_start_matches('/').to_owned(),
        (folders, None) if is_folder_of_environments(folders) => stem.to_owned(),
        _ => return None,
    };
    let is_example = ["example", "sample", "default", "template", "secret", "schema"].iter().any(|word| name.to_ascii_lowercase().contains(word));
    (!name.is_empty() && !is_example).then_some(name)
}

/// `prod` of `values-prod`, `values.prod`, `prod-values`, `prod.values`, `values_prod`.
fn of_stem(stem: &str) -> Option<&str> {
    stem.strip_prefix("values")
        .and_then(|rest| rest.strip_prefix(['-', '.', '_']))
        .or_else(|| stem.strip_suffix("values").and_then(|rest| rest.strip_suffix(['-', '.', '_'])))
}

/// The folders without the one that only says that environments lie in it.
fn environment_folder(folders: &str) -> &str {
    match folders.split_once('/') {
        Some((first, rest)) if is_folder_of_environments(first) => rest,
        None if is_folder_of_environments(folders) => "",
        _ => folders,
    }
}

fn is_folder_of_environments(folder: &str) -> bool {
    matches!(folder, "environments" | "environment" | "envs" | "env" | "values" | "overlays" | "config" | "configs" | "stages")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::memory::MemoryTree;

    #[test]
    fn environments_are_named_by_file_or_folder() {
        for (path, name) in [
            ("values-prod.yaml", Some("prod")),
            ("values.prod.yml", Some("prod")),
            ("prod-values.yaml", Some("prod")),
            ("prod/values.yaml", Some("prod")),
            ("env/eu/prod/values.yaml", Some("eu/prod")),
            ("environments/prod.yaml", Some("prod")),
            ("values/values-prod.yaml", Some("prod")),
            ("dev/values-eu.yaml", Some("dev/eu")),
            ("values.yaml", None),
            ("Chart.yaml", None),
            ("values-example.yaml", None),
            ("templates/values.yaml", None),
            ("ci/test-values.yaml", None),
            ("other/file.yaml", None),
        ] {
            assert_eq!(environment_name(path).as_deref(), name, "{path}");
        }
    }

    #[test]
    fn values_of_another_chart_below_are_not_an_environment() {
        let tree = MemoryTree::new([("a/Chart.yaml", ""), ("a/values-dev.yaml", ""), ("a/sub/Chart.yaml", ""), ("a/sub/values.yaml", "")]);
        let files = tree.candidates();
        let found = environments("a", &Context::new(&tree, &files));
        assert_eq!(found, [Environment { name: "dev".into(), path: "a/values-dev.yaml".into() }]);
    }
}
