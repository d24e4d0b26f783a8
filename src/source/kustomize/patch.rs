//! Patches as kustomize applies them: strategic merge (mappings merged, lists replaced) and JSON 6902 (add, replace, remove).

use std::collections::{HashMap, HashSet};

use crate::source::item::{Body, Item};

/// Operations of one JSON patch.
const MAX_OPERATIONS: usize = 1_000;

/// Lays a strategic-merge patch over an object: mappings are merged, everything else is replaced, `null` and `$patch: delete` remove.
pub fn merge(base: &mut Item, patch: &Item) {
    let directive = patch.text_at(&["$patch"]);
    match (&mut base.body, &patch.body) {
        (Body::Mapping(entries), Body::Mapping(changes)) if directive != Some("replace") => merge_entries(entries, changes),
        _ => *base = without_directive(patch),
    }
}

fn merge_entries(entries: &mut Vec<(Item, Item)>, changes: &[(Item, Item)]) {
    let mut places: HashMap<String, usize> = entries.iter().enumerate().filter_map(|(i, (key, _))| Some((key.raw_text()?.to_owned(), i))).collect();
    let mut removed: HashSet<usize> = HashSet::new();
    for (key, change) in changes {
        let Some(name) = key.raw_text() else {
            continue;
        };
        let at = places.get(name).copied();
        if change.is_null() || change.text_at(&["$patch"]) == Some("delete") {
            removed.extend(at);
            places.remove(name);
            continue;
        }
        match at.and_then(|at| entries.get_mut(at)) {
            Some((_, value)) => merge(value, change),
            None => {
                places.insert(name.to_owned(), entries.len());
                entries.push((key.clone(), without_directive(change)));
            }
        }
    }
    if !removed.is_empty() {
        let mut at = 0..;
        entries.retain(|_| at.next().is_some_and(|at| !removed.contains(&at)));
    }
}

fn without_directive(patch: &Item) -> Item {
    let mut item = patch.clone();
    if let Body::Mapping(entries) = &mut item.body {
        entries.retain(|(key, _)| key.text() != Some("$patch"));
    }
    item
}

/// Applies the operations of a JSON 6902 patch in order.
///
/// # Errors
/// What cannot be applied, in words; operations before it are applied.
pub fn apply_operations(object: &mut Item, operations: &Item) -> Result<(), String> {
    if operations.items().len() > MAX_OPERATIONS {
        return Err(format!("it has more than {MAX_OPERATIONS} operations"));
    }
    for operation in operations.items() {
        apply_operation(object, operation)?;
    }
    Ok(())
}

fn apply_operation(object: &mut Item, operation: &Item) -> Result<(), String> {
    let Some(path) = operation.text_at(&["path"]) else {
        return Err("an operation of a JSON patch has no readable path".into());
    };
    let keys: Vec<String> = path.split('/').skip(1).map(|key| key.replace("~1", "/").replace("~0", "~")).collect();
    let Some((last, parents)) = keys.split_last() else {
        return Err("a JSON patch replaces the whole object".into());
    };
    let name = operation.text_at(&["op"]).unwrap_or_default();
    if name == "test" {
        return Ok(());
    }
    let missing = || format!("the path {path} of a JSON patch does not exist");
    let mut target = &mut *object;
    for key in parents {
        target = child(target, key).ok_or_else(missing)?;
    }
    match (name, operation.get("value")) {
        ("add", Some(value)) => add(target, last, operation, value).ok_or_else(missing),
        ("replace", Some(value)) => child(target, last).map(|slot| *slot = value.clone()).ok_or_else(missing),
        ("remove", _) => remove(target, last).ok_or_else(missing),
        _ => Err(format!("the operation `{name}` of a JSON patch is not understood")),
    }
}

fn child<'i>(item: &'i mut Item, key: &str) -> Option<&'i mut Item> {
    match &mut item.body {
        Body::Mapping(entries) => entries.iter_mut().find(|(k, _)| k.raw_text() == Some(key)).map(|(_, value)| value),
        Body::Sequence(items) => items.get_mut(key.parse::<usize>().ok()?),
        Body::Scalar(_) => None,
    }
}

fn add(target: &mut Item, key: &str, operation: &Item, value: &Item) -> Option<()> {
    match &mut target.body {
        Body::Mapping(entries) => match entries.iter_mut().find(|(k, _)| k.raw_text() == Some(key)) {
            Some((_, slot)) => *slot = value.clone(),
            None => entries.push((Item::scalar(operation.get("path").unwrap_or(value), key), value.clone())),
        },
        Body::Sequence(items) => {
            let at = if key == "-" { items.len() } else { key.parse::<usize>().ok()? };
            if at > items.len() {
                return None;
            }
            items.insert(at, value.clone());
        }
        Body::Scalar(_) => return None,
    }
    Some(())
}

fn remove(target: &mut Item, key: &str) -> Option<()> {
    match &mut target.body {
        Body::Mapping(entries) => {
            let at = entries.iter().position(|(k, _)| k.raw_text() == Some(key))?;
            entries.remove(at);
        }
        Body::Sequence(items) => {
            let at = key.parse::<usize>().ok().filter(|at| *at < items.len())?;
            items.remove(at);
        }
        Body::Scalar(_) => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::SourceFile;

    fn item(path: &str, text: &str) -> Item {
        let file = SourceFile::new(path.into(), text.into());
        Item::of_file(&file, &file.documents()[0].as_ref().unwrap().root)
    }

    #[test]
    fn a_merge_replaces_lists_merges_mappings_and_removes_nulls() {
        let mut base = item("base.yaml", "a: {x: 1, y: 2}\nlist: [1, 2]\ngone: 1\n");
        merge(&mut base, &item("patch.yaml", "a: {y: 3}\nlist: [9]\ngone: null\nnew: {k: v}\n"));
        assert_eq!((base.text_at(&["a", "x"]), base.text_at(&["a", "y"])), (Some("1"), Some("3")));
        assert_eq!(base.get("list").unwrap().items().len(), 1);
        assert!(base.get("gone").is_none());
        assert_eq!(&*base.at(&["a", "y"]).unwrap().place().file, "patch.yaml");
        assert_eq!(&*base.at(&["a", "x"]).unwrap().place().file, "base.yaml");
    }

    #[test]
    fn json_operations_add_replace_and_remove() {
        let mut base = item("base.yaml", "spec: {values: {a/b: 1}, list: [1]}\n");
        let patch = item(
            "patch.yaml",
            "- {op: replace, path: /spec/values/a~1b, value: 2}\n- {op: add, path: /spec/list/-, value: 5}\n- {op: add, path: /spec/new, value: {x: 1}}\n- {op: remove, path: /spec/list/0}\n",
        );
        apply_operations(&mut base, &patch).unwrap();
        assert_eq!(base.text_at(&["spec", "values", "a/b"]), Some("2"));
        assert_eq!(base.at(&["spec", "list"]).unwrap().items()[0].text(), Some("5"));
        assert_eq!(base.text_at(&["spec", "new", "x"]), Some("1"));
        assert!(apply_operations(&mut base, &item("p", "- {op: replace, path: /spec/nothing, value: 1}\n")).is_err());
        assert!(apply_operations(&mut base, &item("p", "- {op: move, path: /spec/new, from: /spec/list}\n")).is_err());
    }
}
