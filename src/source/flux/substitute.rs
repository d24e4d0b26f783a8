//! `${VAR}` as Flux's `postBuild` replaces it, from literals and ConfigMaps in the tree.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::document::yaml::Span;
use crate::source::context::Context;
use crate::source::index::Key;
use crate::source::item::{Expander, Item, Text};
use crate::source::kustomize::{Environment, FluxKustomization};

/// Flux Kustomizations that are asked where none is known to apply a release.
const MAX_AGREEING: usize = 200;

/// The variables of an environment.
#[derive(Debug, Default)]
pub(super) struct Substitution {
    variables: BTreeMap<String, Variable>,
    /// More variables may be set where they cannot be seen: defaults do not hold for certain.
    has_more: bool,
}

#[derive(Debug)]
enum Variable {
    Is(Item),
    Unknown,
}

impl Variable {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Is(item) => item.text(),
            Self::Unknown => None,
        }
    }
}

impl Substitution {
    /// What the Flux Kustomization of an environment sets; where none is known and `may_guess`, what all of the tree agree on.
    pub(super) fn of(environment: &Environment<'_>, may_guess: bool, context: &Context<'_>) -> Self {
        let mut all = Self::default();
        match environment.flux {
            Some(flux) => all.add(flux, context),
            None if !may_guess => all.has_more = true,
            None => {
                for flux in context.kustomizations().flux().iter().take(MAX_AGREEING) {
                    let mut one = Self::default();
                    one.add(flux, context);
                    for (name, variable) in one.variables {
                        let agreed = all.variables.get(&name).is_none_or(|known| known.text().is_some() && known.text() == variable.text());
                        all.variables.insert(name, if agreed { variable } else { Variable::Unknown });
                    }
                }
            }
        }
        all
    }

    /// Whether variables may be set by what is not in the tree.
    pub(super) fn has_more(&self) -> bool {
        self.has_more
    }

    fn add(&mut self, flux: &FluxKustomization, context: &Context<'_>) {
        let post_build = |key| flux.object.at(&["spec", "postBuild", key]);
        for reference in post_build("substituteFrom").map(Item::items).unwrap_or_default() {
            let found = (reference.text_at(&["kind"]) == Some("ConfigMap")).then(|| config_map(reference, flux, context)).flatten();
            match found.as_ref().and_then(|object| object.get("data")) {
                Some(data) => self.add_all(data),
                None => self.has_more = true,
            }
        }
        if let Some(literals) = post_build("substitute") {
            self.add_all(literals);
        }
    }

    fn add_all(&mut self, table: &Item) {
        for (name, value) in table.entries() {
            if let Some(name) = name.text() {
                let variable = if value.text().is_some() { Variable::Is(value.clone()) } else { Variable::Unknown };
                self.variables.insert(name.to_owned(), variable);
            }
        }
    }

    /// `NAME`, `NAME:=default`, `NAME:-default`, `NAME=default`, `NAME-default`.
    fn value(&self, expression: &str) -> Option<String> {
        let end = expression.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(expression.len());
        let (name, operator) = expression.split_at_checked(end)?;
        let default = [":=", ":-", "=", "-"].iter().find_map(|start| operator.strip_prefix(start));
        if default.is_none() && !operator.is_empty() {
            return None;
        }
        let known = self.variables.get(name);
        match (known.and_then(Variable::text), default) {
            (Some(""), Some(default)) if operator.starts_with(':') => Some(default.to_owned()),
            (Some(text), _) => Some(text.to_owned()),
            (None, Some(default)) if known.is_none() && !self.has_more => Some(default.to_owned()),
            _ => None,
        }
    }
}

impl Expander for Substitution {
    fn expand(&self, text: &str) -> Option<String> {
        if text.contains("{{") {
            return None;
        }
        let mut expanded = String::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("${") {
            let (expression, behind) = after.split_once('}')?;
            expanded.push_str(before);
            expanded.push_str(&self.value(expression)?);
            rest = behind;
        }
        expanded.push_str(rest);
        Some(expanded)
    }

    fn written_at(&self, text: &str) -> Option<(Arc<Text>, Span)> {
        let expression = text.strip_prefix("${")?.strip_suffix('}')?;
        let end = expression.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(expression.len());
        match self.variables.get(expression.get(..end)?)? {
            Variable::Is(item) if item.text().is_some_and(|text| !text.is_empty()) => Some((Arc::clone(&item.source), item.span)),
            _ => None,
        }
    }
}

fn config_map(reference: &Item, flux: &FluxKustomization, context: &Context<'_>) -> Option<Item> {
    let name = reference.text_at(&["name"])?;
    let key = Key { group: "", kind: "ConfigMap", name, namespace: flux.object.text_at(&["metadata", "namespace"]) };
    context.find(&key, &flux.path).or_else(|| context.find_beside(&key, &flux.path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn substitution(pairs: &[(&str, &str)], has_more: bool) -> Substitution {
        let file = crate::source::SourceFile::new("a.yaml".into(), "a".into());
        let like = Item::of_file(&file, &file.documents()[0].as_ref().unwrap().root);
        let variables = pairs.iter().map(|(name, text)| ((*name).to_owned(), Variable::Is(Item::scalar(&like, text)))).collect();
        Substitution { variables, has_more }
    }

    #[test]
    fn variables_and_defaults_are_replaced() {
        let s = substitution(&[("TAG", "v2.5.16"), ("EMPTY", "")], false);
        assert_eq!(s.expand("${TAG}-x"), Some("v2.5.16-x".into()));
        assert_eq!(s.expand("${OTHER:=a}${OTHER:-b}${EMPTY:-c}${EMPTY=d}"), Some("abc".into()));
        assert_eq!(s.expand("${OTHER}"), None);
        assert_eq!(s.expand("${TAG/a/b}"), None);
        assert_eq!(s.expand("{{ x }}${TAG}"), None);
    }

    #[test]
    fn defaults_do_not_hold_where_more_may_be_set() {
        assert_eq!(substitution(&[], true).expand("${TAG:=v2.5.16}"), None);
    }
}
