//! Find kind `dead_values`: user values that no chart version since 2.0 reads.

use super::{Hit, MAX_HITS};
use crate::model::catalogue::{Catalogue, Known};
use crate::model::release::Release;
use crate::model::value::{Entry, Value, escape_key};
use crate::policy::facts::Facts;

/// User values that nothing ever read; a table of which nothing is read is one hit.
pub(crate) fn dead_values(facts: &Facts<'_>) -> Vec<Hit> {
    let Some(after) = facts.after else { return Vec::new() };
    let Some(table) = after.user.table() else { return Vec::new() };
    let catalogue = Catalogue::embedded();
    let mut hits = Vec::new();
    for (key, entry) in &table.entries {
        // Anything may be read below a subchart's name, and `global` is everybody's.
        if &**key == "global" || catalogue.is_dependency_key(key) {
            continue;
        }
        Search { catalogue, after, hits: &mut hits }.walk(&mut escape_key(key).into_owned(), catalogue.known().below(key), entry);
    }
    hits
}

struct Search<'s> {
    catalogue: &'s Catalogue,
    after: &'s Release,
    hits: &'s mut Vec<Hit>,
}

impl Search<'_> {
    fn walk(&mut self, path: &mut String, known: Known<'_>, entry: &Entry) {
        if self.hits.len() >= MAX_HITS || known.is_whole() {
            return;
        }
        if !known.is_known() {
            let place = entry.key.place().or_else(|| entry.node.origin.place());
            self.hits.push(Hit::at_path(path).with("hint", hint(path, self.catalogue, self.after)).placed(place));
        } else if let Value::Table(inner) = &entry.node.value {
            for (key, entry) in &inner.entries {
                let above = path.len();
                path.push('.');
                path.push_str(&escape_key(key));
                self.walk(path, known.below(key), entry);
                path.truncate(above);
            }
        }
    }
}

/// The one value of the same top-level table whose last key is the same (`standalone.persistence.size` -> `standalone.persistence.persistentVolumeClaim.size`), or nothing.
fn hint(path: &str, catalogue: &Catalogue, after: &Release) -> String {
    let (Some((first, _)), Some((parent, last))) = (path.split_once('.'), path.rsplit_once('.')) else { return String::new() };
    let Some(defaults) = after.chart.judged_as().and_then(|version| catalogue.defaults(version)) else { return String::new() };
    let mut near = Vec::new();
    defaults.for_each_leaf(&mut |known, _| {
        if known.rsplit_once('.').is_some_and(|(above, key)| key == last && above.strip_prefix(parent).is_some_and(|rest| rest.starts_with('.')))
            && known.starts_with(first)
        {
            near.push(known.to_owned());
        }
    });
    match near.as_slice() {
        [one] => format!(" (did you mean `{one}`?)"),
        _ => String::new(),
    }
}
