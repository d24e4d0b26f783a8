//! Writes the compact catalogue files that the linter embeds: `catalogue-generator SOURCE_DIR OUTPUT_DIR`.

#![allow(clippy::disallowed_methods, reason = "a tool that reads and writes files; the ban is for the library")]

mod charts;
mod timeline;

use std::path::Path;

use anyhow::{Context, bail};

/// The generated files and what each is made from.
fn generate(source: &Path) -> anyhow::Result<Vec<(&'static str, String)>> {
    let read = |name: &str| std::fs::read_to_string(source.join(name)).with_context(|| format!("{}", source.join(name).display()));
    let defaults = read("defaults.json")?;
    Ok(vec![
        ("charts.tsv", charts::write(&read("charts.yaml")?, &defaults)?),
        ("defaults.txt", timeline::write_defaults(&defaults)?),
        ("reads.txt", timeline::write_reads(&read("reads.json")?)?),
    ])
}

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [source, output] = arguments.as_slice() else {
        bail!("usage: catalogue-generator SOURCE_DIR OUTPUT_DIR");
    };
    for (name, text) in generate(Path::new(source))? {
        let path = Path::new(output).join(name);
        std::fs::write(&path, text).with_context(|| format!("{}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use milvus_guard::model::catalogue::Catalogue;
    use milvus_guard::model::value::{Node, Value, escape_key};
    use milvus_guard::model::version::ChartVersion;

    use super::*;

    fn here(path: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
    }

    #[test]
    fn the_committed_catalogue_is_what_the_sources_give() {
        for (name, text) in generate(&here("source")).unwrap() {
            let committed = std::fs::read_to_string(here("../../policies/catalogue").join(name)).unwrap();
            assert!(committed == text, "{name} is out of date: cargo run -p catalogue-generator tools/catalogue/source policies/catalogue");
        }
    }

    fn json(node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(b) => (*b).into(),
            Value::Int(i) => (*i).into(),
            Value::Float(f) => (*f).into(),
            Value::String(s) => s.as_ref().into(),
            Value::List(items) => items.iter().map(json).collect(),
            Value::Table(table) => table.entries.iter().map(|(k, e)| (k.to_string(), json(&e.node))).collect::<serde_json::Map<_, _>>().into(),
            Value::Unknown(reason) => panic!("{reason}"),
        }
    }

    /// Leaves as the source data counts them: what lies in lists and empty tables is one leaf.
    fn leaves(node: &Node) -> BTreeMap<String, serde_json::Value> {
        let mut found = BTreeMap::new();
        node.for_each_leaf(&mut |path, entry| {
            let value = if path.ends_with("mysql\\.cnf") || path.ends_with("grant\\.sql") || path.ends_with("user\\.yaml") {
                "a text".into()
            } else {
                json(&entry.node)
            };
            found.insert(path.to_owned(), value);
        });
        found
    }

    #[test]
    fn every_default_of_every_version_is_rebuilt_from_the_embedded_files() {
        let source: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(here("source/defaults.json")).unwrap()).unwrap();
        let catalogue = Catalogue::embedded();
        for chart in source["versions"].as_array().unwrap() {
            let version: ChartVersion = chart["chart"].as_str().unwrap().parse().unwrap();
            let mut expected = BTreeMap::new();
            for (path, changes) in source["defaults"].as_object().unwrap() {
                let in_force = changes.as_array().unwrap().iter().rev().find(|change| change[0].as_str().unwrap().parse::<ChartVersion>().unwrap() <= version);
                match in_force.map(|change| &change[1]) {
                    None => {}
                    Some(value) if value.get("absent").is_some() => {}
                    Some(value) if value.get("text_lines").is_some() => {
                        expected.insert(path.clone(), "a text".into());
                    }
                    Some(value) => {
                        expected.insert(path.clone(), value.clone());
                    }
                }
            }
            assert_eq!(leaves(&catalogue.defaults(&version).unwrap()), expected, "{version}");
            assert!(expected.keys().all(|path| path.split('.').all(|key| !escape_key(key).is_empty())));
        }
    }
}
