//! The generators of an `ApplicationSet`: lists, and folders and files of this tree; matrix and merge of them. Others give one set of nothing known.

use std::collections::BTreeSet;

use super::glob::fits;
use super::parameters::Parameters;
use crate::source::context::Context;
use crate::source::item::Item;

/// Applications of one `ApplicationSet`.
const MAX_SETS: usize = 500;
/// Nodes of all applications of one `ApplicationSet` together.
const MAX_NODES: usize = 1_000_000;
/// Patterns of one git generator.
const MAX_PATTERNS: usize = 100;
/// Generators within generators.
const MAX_DEPTH: usize = 3;

/// What a generator gives.
#[derive(Debug, Clone)]
pub(super) struct Generated {
    pub(super) parameters: Parameters,
    /// The generator's own part of the template.
    pub(super) template: Option<Item>,
}

/// All sets of parameters; at most so many that their applications stay within bounds, and whether that left some out.
pub(super) fn read(spec: &Item, is_go_template: bool, context: &Context<'_>) -> (Vec<Generated>, bool) {
    let reader = Reader { is_go_template, context };
    let mut found = Vec::new();
    for generator in spec.get("generators").map(Item::items).unwrap_or_default() {
        let template = generator.entries().iter().find_map(|(_, body)| body.get("template")).cloned();
        let sets = reader.generator(generator, 0);
        found.extend(sets.into_iter().map(|parameters| Generated { parameters, template: template.clone() }));
    }
    if found.is_empty() {
        found.push(Generated { parameters: Parameters::new(is_go_template), template: None });
    }
    let allowed = MAX_SETS.min(MAX_NODES / spec.get("template").map_or(1, Item::count)).max(1);
    let is_too_long = found.len() > allowed || found.len() == MAX_SETS;
    found.truncate(allowed);
    (found, is_too_long)
}

struct Reader<'r> {
    is_go_template: bool,
    context: &'r Context<'r>,
}

impl Reader<'_> {
    fn none_known(&self) -> Vec<Parameters> {
        vec![Parameters::new(self.is_go_template)]
    }

    fn generator(&self, generator: &Item, depth: usize) -> Vec<Parameters> {
        if depth > MAX_DEPTH {
            return self.none_known();
        }
        let mut sets = if let Some(list) = generator.get("list") {
            self.list(list)
        } else if let Some(git) = generator.get("git") {
            self.git(git)
        } else if let Some(matrix) = generator.get("matrix") {
            self.matrix(matrix, depth)
        } else if let Some(merge) = generator.get("merge") {
            self.merge(merge, depth)
        } else {
            self.none_known()
        };
        sets.truncate(MAX_SETS);
        let values = generator.entries().iter().find_map(|(_, body)| body.get("values"));
        if let Some(values) = values {
            for set in &mut sets {
                let expanded = values.clone().expanded(&*set);
                set.add("values", &expanded);
            }
        }
        if let Some(labels) = generator.at(&["selector", "matchLabels"]) {
            let fits = |set: &Parameters, (key, value): &(Item, Item)| key.text().is_none_or(|key| set.get(key).is_none_or(|own| Some(own) == value.text()));
            sets.retain(|set| labels.entries().iter().all(|entry| fits(set, entry)));
        }
        sets
    }

    fn list(&self, list: &Item) -> Vec<Parameters> {
        let Some(elements) = list.get("elements") else {
            return self.none_known();
        };
        let set = |element: &Item| {
            let mut set = Parameters::new(self.is_go_template);
            set.add("", element);
            set
        };
        elements.items().iter().take(MAX_SETS).map(set).collect()
    }

    /// Folders or files of this tree. Where nothing fits, the repository may be another: nothing is known then.
    fn git(&self, git: &Item) -> Vec<Parameters> {
        let sets = match (git.get("directories"), git.get("files")) {
            (Some(folders), _) => self.folders(folders.items()),
            (None, Some(files)) => self.files(files.items()),
            (None, None) => Vec::new(),
        };
        if sets.is_empty() { self.none_known() } else { sets }
    }

    fn folders(&self, wanted: &[Item]) -> Vec<Parameters> {
        let wanted = wanted.get(..wanted.len().min(MAX_PATTERNS)).unwrap_or_default();
        let (excluded, included): (Vec<&Item>, Vec<&Item>) = wanted.iter().partition(|item| item.is_true_at(&["exclude"]));
        let fits_any =
            |items: &[&Item], folder: &str| items.iter().any(|item| item.text_at(&["path"]).is_some_and(|pattern| fits(pattern.trim_matches('/'), folder)));
        let mut folders: BTreeSet<&str> = BTreeSet::new();
        for path in self.context.tree.paths() {
            let mut folder: &str = path;
            while let Some((above, _)) = folder.rsplit_once('/') {
                folder = above;
                if folders.contains(folder) {
                    break;
                }
                if fits_any(&included, folder) && !fits_any(&excluded, folder) && !folder.split('/').any(|part| part.starts_with('.')) {
                    folders.insert(folder);
                }
            }
        }
        let set = |folder: &str| {
            let mut set = Parameters::new(self.is_go_template);
            if let Some(like) = included.first() {
                set.add_path(folder, None, like);
            }
            set
        };
        folders.into_iter().take(MAX_SETS).map(set).collect()
    }

    fn files(&self, wanted: &[Item]) -> Vec<Parameters> {
        let wanted = wanted.get(..wanted.len().min(MAX_PATTERNS)).unwrap_or_default();
        let (excluded, included): (Vec<&Item>, Vec<&Item>) = wanted.iter().partition(|item| item.is_true_at(&["exclude"]));
        let fits_any =
            |items: &[&Item], path: &str| items.iter().any(|item| item.text_at(&["path"]).is_some_and(|pattern| fits(pattern.trim_matches('/'), path)));
        let paths = self.context.tree.paths().iter().filter(|path| fits_any(&included, path) && !fits_any(&excluded, path));
        let mut sets = Vec::new();
        for path in paths.take(MAX_SETS) {
            let Ok(file) = self.context.file(path) else {
                continue;
            };
            let Some(Ok(document)) = file.documents().first() else {
                continue;
            };
            let root = Item::of_file(&file, &document.root);
            let items: Vec<&Item> = if root.items().is_empty() { vec![&root] } else { root.items().iter().collect() };
            for item in items.into_iter().take(MAX_SETS) {
                let mut set = Parameters::new(self.is_go_template);
                set.add("", item);
                set.add_path(file.folder(), Some(file.file_name()), item);
                sets.push(set);
            }
        }
        sets
    }

    /// Every pair of both; the second may use what the first gives.
    fn matrix(&self, matrix: &Item, depth: usize) -> Vec<Parameters> {
        let [first, second] = matrix.get("generators").map(Item::items).unwrap_or_default() else {
            return self.none_known();
        };
        let mut sets = Vec::new();
        let once = (!second.has_templates()).then(|| self.generator(second, depth + 1));
        for outer in self.generator(first, depth + 1) {
            let inner = once.clone().unwrap_or_else(|| self.generator(&second.clone().expanded(&outer), depth + 1));
            for inner in inner {
                if sets.len() >= MAX_SETS {
                    return sets;
                }
                sets.push(outer.with(&inner));
            }
        }
        sets
    }

    /// The sets of the first, with what the others say about the same keys.
    fn merge(&self, merge: &Item, depth: usize) -> Vec<Parameters> {
        let keys: Vec<&str> = merge.get("mergeKeys").map(Item::items).unwrap_or_default().iter().filter_map(Item::text).collect();
        let Some((first, others)) = merge.get("generators").map(Item::items).unwrap_or_default().split_first() else {
            return self.none_known();
        };
        let mut sets = self.generator(first, depth + 1);
        for other in others {
            let given = self.generator(other, depth + 1);
            for set in &mut sets {
                if let Some(same) = given.iter().find(|given| keys.iter().all(|key| set.get(key).is_some() && set.get(key) == given.get(key))) {
                    *set = set.with(same);
                }
            }
        }
        sets
    }
}
