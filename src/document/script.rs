//! Scripts wherever they are kept: shell files, Makefiles, Jenkins files, workflows. Each with what is set around it and the place of each byte.

pub mod condition;
mod groovy;
mod make;
mod pipeline;
mod scalar;

use std::ops::Range;
use std::sync::Arc;

use self::condition::Condition;
use super::extract::Extract;
use super::shell::{Outer, Value};
use super::yaml::{Broken, Document};

pub use scalar::extract as scalar_extract;

/// What kind of file holds scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A shell script.
    Shell,
    /// A Makefile.
    Make,
    /// Groovy, of Jenkins.
    Groovy,
    /// YAML of GitHub, GitLab or CircleCI.
    Pipeline,
}

/// Scripts that run one after another on one machine.
#[derive(Debug, Clone, Default)]
pub struct Job {
    /// Its name where the file has several: the job, the target.
    pub name: Option<Arc<str>>,
    /// It runs by itself, on pushes or on a schedule.
    pub automatic: bool,
    /// What runs before it and is declared elsewhere, such as the targets that one of make needs.
    pub leading: Vec<Part>,
    /// What it consists of, in order.
    pub parts: Vec<Part>,
}

/// A part of a job.
#[derive(Debug, Clone)]
pub enum Part {
    /// A script.
    Script(Box<Step>),
    /// A packaged action: `uses: azure/setup-helm@v4`.
    Action {
        /// Its name with version.
        name: Setting,
        /// Its inputs (`with:`).
        inputs: Vec<(String, Value)>,
        /// What must hold for it to run.
        conditions: Vec<Condition>,
    },
    /// The container image in which the scripts run.
    Image(Setting),
}

/// A script of a job.
#[derive(Debug, Clone, Default)]
pub struct Step {
    /// Its text.
    pub script: Extract,
    /// What is set around it.
    pub outer: Arc<Outer>,
    /// The folder in which it starts, if it is said.
    pub folder: Option<Value>,
    /// It runs in a shell of its own: what scripts before it set is gone.
    pub fresh: bool,
    /// What must hold for it to run.
    pub conditions: Vec<Condition>,
}

/// A text of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The text.
    pub text: String,
    /// Where it is written.
    pub bytes: Range<usize>,
}

/// Tells by name and content whether a file holds scripts, and of which kind. Runbooks in Markdown are no scripts: reading them is for the user to ask for,
/// and no option does yet.
#[must_use]
pub fn kind(path: &str, text: &str) -> Option<Kind> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let lower = name.to_ascii_lowercase();
    let ends = |ends: &[&str]| ends.iter().any(|end| lower.ends_with(end));
    if lower.starts_with("jenkinsfile") || ends(&[".groovy", ".jenkinsfile", ".jenkins"]) {
        return Some(Kind::Groovy);
    }
    if matches!(lower.as_str(), "makefile" | "gnumakefile") || lower.starts_with("makefile.") || ends(&[".mk", ".mak"]) {
        return Some(Kind::Make);
    }
    if ends(&[".sh", ".bash", ".zsh", ".ksh", ".bats"]) || [".sh.", ".bash."].iter().any(|part| lower.contains(part)) {
        return Some(Kind::Shell);
    }
    if ends(&[".yml", ".yaml"]) {
        return may_be_pipeline(text).then_some(Kind::Pipeline);
    }
    let first = text.trim_start_matches('\u{feff}').lines().next().unwrap_or_default();
    let interpreter = first.strip_prefix("#!")?;
    let shells = ["sh", "bash", "zsh", "ksh", "dash", "ash"];
    interpreter.split(['/', ' ', '\t']).any(|word| shells.contains(&word.trim_end())).then_some(Kind::Shell)
}

/// Whether a YAML text holds keys under which pipelines keep scripts.
fn may_be_pipeline(text: &str) -> bool {
    ["run:", "script:", "command:", "uses:"].iter().any(|key| memchr::memmem::find(text.as_bytes(), key.as_bytes()).is_some())
}

/// The scripts of a file of this kind. `documents` are its YAML documents, for [`Kind::Pipeline`].
#[must_use]
pub fn jobs(kind: Kind, text: &str, documents: &[Result<Document, Broken>]) -> Vec<Job> {
    match kind {
        Kind::Shell => {
            let step = Step { script: Extract::whole(text), ..Step::default() };
            vec![Job { parts: vec![Part::Script(Box::new(step))], ..Job::default() }]
        }
        Kind::Make => make::jobs(text),
        Kind::Groovy => groovy::jobs(text),
        Kind::Pipeline => documents.iter().flatten().flat_map(|document| pipeline::jobs(text, &document.root)).collect(),
    }
}

#[cfg(test)]
mod tests;
