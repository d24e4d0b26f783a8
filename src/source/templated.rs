//! Parts of a declaration that are filled in by a template or a variable: each release says so once, so that silence never means that they were checked.

use std::sync::Arc;

use super::nested::{Said, said};
use crate::document::template::is_set_by_nothing;
use crate::model::credential::is_credential;
use crate::model::declaration::{Declaration, Flag, FlagKind, Layer, NotChecked, NotCheckedKind};
use crate::model::place::{Fact, Origin, Place};
use crate::model::value::{Entry, Lookup, Node, Table, Value};

const TAG: &str = "image.all.tag";

/// Adds a gap for a templated chart version, and one for all templated values; and flags for tag and version that are variables which nothing sets.
pub(crate) fn tell(declaration: &mut Declaration) {
    let open = [(FlagKind::OpenTag, open_tag(declaration)), (FlagKind::OpenChart, open_fact(&declaration.chart.version))];
    for (kind, found) in open {
        if let Some((reason, place)) = found {
            if kind == FlagKind::OpenTag {
                add(declaration, Some(place.clone()), format!("`{TAG}` is filled in elsewhere; what depends on it was not checked").into());
            }
            declaration.flags.push(Flag { kind, value: Some(reason), place });
        }
    }
    let version = match &declaration.chart.version {
        Fact::Unknown(_, origin) => Some(origin.place().cloned()),
        Fact::Known(..) | Fact::Absent => None,
    };
    if let Some(place) = version {
        add(declaration, place, "the chart version is filled in elsewhere; what depends on it was not checked".into());
    }
    let mut found = Vec::new();
    for layer in &declaration.layers {
        if let Layer::Table { values, .. } = layer
            && values.has_unknown()
        {
            values.for_each_leaf(&mut |path, entry| {
                // Nothing depends on a credential.
                let is_credential = entry.node.origin.secret().is_some() && path.rsplit('.').next().is_some_and(is_credential);
                if let (Value::Unknown(_), Some(place), false) = (&entry.node.value, entry.node.origin.place(), is_credential)
                    && !declaration.flags.iter().any(|flag| flag.kind == FlagKind::OpenTag && flag.place == *place)
                {
                    found.push((path.to_owned(), place.clone()));
                }
            });
        }
    }
    if let Some((path, place)) = found.first().cloned() {
        let more = match found.len() {
            1 => String::new(),
            number => format!(" and {} more", number - 1),
        };
        add(declaration, Some(place), format!("`{path}`{more} is filled in elsewhere; what depends on it was not checked").into());
    }
}

/// The image tag that is in force, if it is a variable that nothing sets.
fn open_tag(declaration: &Declaration) -> Option<(Arc<str>, Place)> {
    for layer in declaration.layers.iter().rev() {
        match layer {
            Layer::Table { values, .. } => match values.lookup(TAG) {
                Lookup::Unknown(reason) if is_set_by_nothing(reason) => return Some((Arc::clone(reason), place_of(values, TAG)?)),
                Lookup::Found(_) | Lookup::Unknown(_) => return None,
                Lookup::Absent => {}
            },
            Layer::Set { .. } if said(std::slice::from_ref(layer), TAG) == Said::Nothing => {}
            Layer::Set { .. } | Layer::Unseen { .. } => return None,
        }
    }
    open_fact(&declaration.image)
}

/// Where a value is written.
fn place_of(values: &Node, path: &str) -> Option<Place> {
    let mut place = None;
    values.for_each_leaf(&mut |leaf, entry| {
        if leaf == path {
            place = entry.node.origin.place().cloned();
        }
    });
    place
}

fn open_fact<T>(fact: &Fact<T>) -> Option<(Arc<str>, Place)> {
    match fact {
        Fact::Unknown(reason, Origin::At(place)) if is_set_by_nothing(reason) => Some((Arc::clone(reason), place.clone())),
        _ => None,
    }
}

/// The same values where variables that nothing here sets may be set elsewhere, for this reason.
pub(crate) fn set_elsewhere(node: &Node, reason: &Arc<str>) -> Node {
    let value = match &node.value {
        Value::Unknown(old) if is_set_by_nothing(old) => Value::Unknown(Arc::clone(reason)),
        Value::List(items) => Value::List(Arc::new(items.iter().map(|item| set_elsewhere(item, reason)).collect())),
        Value::Table(table) => {
            let entry = |(key, entry): (&Arc<str>, &Entry)| (Arc::clone(key), Entry { key: entry.key.clone(), node: set_elsewhere(&entry.node, reason) });
            Value::Table(Arc::new(Table { entries: table.entries.iter().map(entry).collect(), rest_unknown: table.rest_unknown.clone() }))
        }
        value => value.clone(),
    };
    Node { value, origin: node.origin.clone() }
}

/// A place that a reader told of already is not told again.
fn add(declaration: &mut Declaration, place: Option<Place>, reason: Arc<str>) {
    if declaration.gaps.iter().any(|gap| gap.place.is_some() && gap.place == place) {
        return;
    }
    let file = place.as_ref().map_or_else(|| Arc::clone(&declaration.path), |place| Arc::clone(&place.file));
    declaration.gaps.push(NotChecked { file, place, reason, kind: NotCheckedKind::PartlyChecked, mentions_milvus: true });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::fixture::read_texts;

    /// `tag LINE` and `chart LINE` of what nothing sets.
    fn open(path: &str, text: &str) -> Vec<String> {
        let declarations = read_texts(&[(path, text), ("milvus.tpl.yaml", "image: {all: {tag: $TAG}}\n")]).declarations;
        let flags = declarations.iter().filter(|d| *d.path == *path).flat_map(|d| &d.flags);
        let open = flags.filter_map(|flag| match flag.kind {
            FlagKind::OpenTag => Some(format!("tag {}", flag.place.start.line)),
            FlagKind::OpenChart => Some(format!("chart {}", flag.place.start.line)),
            _ => None,
        });
        open.collect()
    }

    #[test]
    fn variables_that_nothing_sets_are_open_in_scripts() {
        let script = |before: &str, arguments: &str| open("up.sh", &format!("{before}\nhelm upgrade m zilliztech/milvus {arguments}\n"));
        assert_eq!(script("", "--version 4.2.58 --set image.all.tag=$TAG"), ["tag 2"]);
        assert_eq!(script("", "--version \"$1\" --set image.all.tag=v2.5.16"), ["chart 2"]);
        assert_eq!(script("TAG=v2.5.16", "--version 4.2.58 --set image.all.tag=$TAG"), [] as [&str; 0]);
        assert_eq!(script("", "--version ${V:-4.2.58} --set image.all.tag=${TAG:-v2.5.16}"), [] as [&str; 0]);
        assert_eq!(script("TAG=$(cat tag)", "--version 4.2.58 --set image.all.tag=$TAG"), [] as [&str; 0]);
        assert_eq!(script("", "--version 4.2.58 -f <(cat x) --set image.all.tag=$TAG --set image.all.tag=v2.5.16"), [] as [&str; 0]);
        assert_eq!(script("TAG=v2.5.16 envsubst < milvus.tpl.yaml > v.yaml", "--version 4.2.58 -f v.yaml"), [] as [&str; 0]);
    }

    #[test]
    fn variables_that_nothing_sets_are_open_in_yaml() {
        let flux = |tag: &str, more: &str| {
            let text = format!(
                "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: m, namespace: x}}\nspec:\n  chart: {{spec: {{chart: milvus, version: 4.2.58, sourceRef: {{kind: HelmRepository, name: z}}}}}}\n  values:\n    image: {{all: {{tag: {tag}}}}}\n{more}"
            );
            open("apps/m.yaml", &text)
        };
        assert_eq!(flux("'${MILVUS_TAG}'", ""), ["tag 7"]);
        assert_eq!(flux("'${MILVUS_TAG:=v2.5.16}'", ""), [] as [&str; 0]);
        let kustomization = "---\napiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps, namespace: flux-system}\nspec:\n  path: ./apps\n  postBuild: {substituteFrom: [{kind: ConfigMap, name: elsewhere}]}\n";
        assert_eq!(flux("'${MILVUS_TAG}'", kustomization), [] as [&str; 0]);
        assert_eq!(open("values.yaml", "image: {all: {repository: milvusdb/milvus, tag: $TAG}}\ncluster: {enabled: true}\n"), ["tag 1"]);
    }
}
