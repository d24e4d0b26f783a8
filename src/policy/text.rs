//! Message templates of rule files: `{after.milvus}` stands for a fact, `{{` and `}}` for braces.

use serde::{Deserialize, Serialize};

use super::credential::is_credential;
use super::path::split_path;

/// A text with placeholders, checked when it is loaded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Template(pub String);

/// A part of a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// As written.
    Text(&'a str),
    /// A placeholder's name.
    Name(&'a str),
}

/// The placeholders that every rule may use, with their meaning. Those ending in `:` take a value path.
pub const PLACEHOLDERS: &[(&str, &str)] = &[
    ("before.milvus", "effective Milvus version before"),
    ("after.milvus", "effective Milvus version after"),
    ("before.chart", "chart version before"),
    ("after.chart", "chart version after"),
    ("before.milvus_source", "where the Milvus version before comes from: `image.all.tag` or `chart 4.2.58`"),
    ("after.milvus_source", "where the Milvus version after comes from"),
    ("before.mode", "`standalone` or `cluster`"),
    ("after.mode", "`standalone` or `cluster`"),
    ("before.queue", "the queue before, in words: `Pulsar 2 (built in)`"),
    ("after.queue", "the queue after, in words"),
    ("before.queue_source", "what decides the queue before: `pulsar.enabled (chart default)`"),
    ("after.queue_source", "what decides the queue after"),
    ("before.image_tag", "the image tag that is set before, or `none`"),
    ("after.image_tag", "the image tag that is set after, or `none`"),
    ("after.repository", "the chart's repository"),
    ("after.version_spec", "the chart version as written, or `none`"),
    ("after.range_gates", "the gates that the range of chart versions spans, by their titles"),
    ("catalogue_diff", "the sentence with the command that lists all defaults that change, where both charts are single versions of the catalogue"),
    ("release", "`release `milvus` (namespace milvus)`"),
    ("name", "the release's name, or `<release>`"),
    ("namespace", "the namespace, or `<namespace>`"),
    ("applier", "what applies it, in words: `Flux`, `Argo CD`, `helm upgrade`"),
    ("helm", "the Helm client's version"),
    ("kubernetes", "the Kubernetes version"),
    ("list", "with `one_finding`: what was found, in a list"),
    ("count", "with `one_finding`: how many hits"),
    ("before.value:", "the effective value at a path before"),
    ("after.value:", "the effective value at a path after"),
    ("before.config:", "the value at a path of `user.yaml` before"),
    ("after.config:", "the value at a path of `user.yaml` after"),
    ("flag:", "the value of a setting, as written"),
];

impl Template {
    /// Its parts.
    ///
    /// # Errors
    /// When braces are not balanced.
    pub fn pieces(&self) -> Result<Vec<Piece<'_>>, String> {
        let mut pieces = Vec::new();
        let mut rest = self.0.as_str();
        while let Some(at) = rest.find(['{', '}']) {
            let (text, after) = rest.split_at(at);
            if !text.is_empty() {
                pieces.push(Piece::Text(text));
            }
            rest = if let Some(after) = after.strip_prefix("{{") {
                pieces.push(Piece::Text("{"));
                after
            } else if let Some(after) = after.strip_prefix("}}") {
                pieces.push(Piece::Text("}"));
                after
            } else if let Some((name, after)) = after.strip_prefix('{').and_then(|after| after.split_once('}')) {
                pieces.push(Piece::Name(name));
                after
            } else {
                return Err("an unbalanced brace; write `{{` and `}}` for braces in the text".to_owned());
            };
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest));
        }
        Ok(pieces)
    }

    /// Checks that every placeholder is known and prints no secret.
    ///
    /// # Errors
    /// When one is not, or does.
    pub fn check(&self, variables: &[(&str, &str)]) -> Result<(), String> {
        for piece in self.pieces()? {
            let Piece::Name(name) = piece else { continue };
            if variables.iter().any(|(known, _)| *known == name) {
                continue;
            }
            let known = PLACEHOLDERS.iter().any(|(known, _)| match known.strip_suffix(':') {
                Some(family) => name.strip_prefix(family).is_some_and(|rest| rest.len() > 1 && rest.starts_with(':')),
                None => *known == name,
            });
            if !known {
                let all: Vec<&str> = variables.iter().chain(PLACEHOLDERS).map(|(known, _)| *known).collect();
                return Err(format!("unknown placeholder `{{{name}}}`; known here: {}", all.join(", ")));
            }
            if name.split_once(':').is_some_and(|(_, path)| is_secret(path)) {
                return Err(format!("placeholder `{{{name}}}` would print a secret"));
            }
        }
        Ok(())
    }
}

/// Whether a value path looks like one that holds a secret.
#[must_use]
pub fn is_secret(path: &str) -> bool {
    split_path(path).iter().any(|key| is_credential(key))
}
