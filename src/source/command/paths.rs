//! Paths as scripts name them: relative to where the script stands, to a folder it went to, or to the repository's root.

use crate::document::shell::{REPOSITORY_ROOT, SCRIPT_FOLDER, Value};
use crate::source::context::{Context, join, normalize};

/// Where a command looks for files.
#[derive(Debug, Clone)]
pub(super) struct Whereabouts<'a> {
    /// The folder of the script's file, `` for the root.
    pub(super) script_folder: &'a str,
    /// The script starts at the root, as pipelines do.
    pub(super) starts_at_root: bool,
    /// The folder that the script went to.
    pub(super) folder: Option<&'a Value>,
}

impl Whereabouts<'_> {
    /// The paths in the tree that a path may mean, the likeliest first. Empty where that cannot be told.
    pub(super) fn candidates(&self, path: &str) -> Vec<String> {
        if path.starts_with(['/', '~']) || path.contains("://") {
            return Vec::new();
        }
        if let Some(fixed) = self.fixed(path) {
            return fixed.into_iter().collect();
        }
        let Some(folder) = self.folder else {
            return self.bases().into_iter().filter_map(|base| join(base, path)).collect();
        };
        let Some(folder) = folder.text() else { return Vec::new() };
        match self.fixed(&folder) {
            Some(folder) => folder.and_then(|folder| join(&folder, path)).into_iter().collect(),
            None if folder.starts_with(['/', '~']) => Vec::new(),
            None => self.bases().into_iter().filter_map(|base| join(&join(base, &folder)?, path)).collect(),
        }
    }

    /// The candidate that exists as a file.
    pub(super) fn file(&self, path: &str, context: &Context<'_>) -> Option<String> {
        self.candidates(path).into_iter().find(|candidate| context.exists(candidate))
    }

    /// The candidate that exists as a chart's folder.
    pub(super) fn chart_folder(&self, path: &str, context: &Context<'_>) -> Option<String> {
        let is_chart = |folder: &String| join(folder, "Chart.yaml").is_some_and(|chart| context.exists(&chart));
        self.candidates(path).into_iter().find(is_chart)
    }

    /// One name for a path wherever the script names it from, whether or not anything lies there in the tree.
    pub(super) fn key(&self, path: &str) -> String {
        if let Some(first) = self.candidates(path).into_iter().next() {
            return first;
        }
        let folder = self.folder.and_then(Value::text).filter(|_| !path.starts_with(['/', '~'])).unwrap_or_default();
        let text = format!("{folder}/{path}");
        if text.contains("..") { text } else { normalize(&text).map_or(text, |normal| format!("/{normal}")) }
    }

    fn bases(&self) -> [&str; 2] {
        if self.starts_at_root { ["", self.script_folder] } else { [self.script_folder, ""] }
    }

    /// A path that begins at a known folder; `None` if it does not.
    fn fixed(&self, path: &str) -> Option<Option<String>> {
        if let Some(rest) = path.strip_prefix(SCRIPT_FOLDER) {
            return Some(join(self.script_folder, rest));
        }
        path.strip_prefix(REPOSITORY_ROOT).map(normalize)
    }
}

/// A path for people: the folder of the script and the root have names again.
pub(super) fn shown(path: &str) -> String {
    path.replace([SCRIPT_FOLDER, REPOSITORY_ROOT], ".")
}
