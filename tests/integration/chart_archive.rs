//! Reads chart archives (`milvus-4.2.58.tgz`) as far as values go: names, versions, dependencies, `values.yaml`, and the charts inside.

use std::collections::BTreeMap;
use std::io::Read;

use milvus_guard::document::yaml::{Limits, Node, parse_stream};

use crate::helm_case::{Chart, Listed};

#[path = "../e2e/src/chart/pack.rs"]
mod pack;

pub(crate) use pack::pack;

/// The chart in a gzipped tar archive.
pub(crate) fn read(archive: &[u8]) -> Chart {
    let files = unpack(archive);
    let root = files.keys().next().and_then(|path| path.split_once('/')).map_or("", |(root, _)| root).to_owned();
    chart(&below(&files, &root))
}

/// Files of a chart folder, by path in it.
type Files = BTreeMap<String, Vec<u8>>;

fn below(files: &Files, folder: &str) -> Files {
    let prefix = format!("{folder}/");
    files.iter().filter_map(|(path, bytes)| Some((path.strip_prefix(&prefix)?.to_owned(), bytes.clone()))).collect()
}

fn text(files: &Files, path: &str) -> String {
    files.get(path).map_or_else(String::new, |bytes| String::from_utf8_lossy(bytes).into_owned())
}

fn chart(files: &Files) -> Chart {
    let metadata = yaml(&text(files, "Chart.yaml"));
    let mut listed = dependencies(&metadata);
    // Helm takes requirements.yaml after Chart.yaml.
    if files.contains_key("requirements.yaml") {
        listed = dependencies(&yaml(&text(files, "requirements.yaml")));
    }
    let mut inner: Vec<String> = files.keys().filter_map(|path| path.strip_prefix("charts/")?.split('/').next()).map(str::to_owned).collect();
    inner.dedup();
    let bundled = inner
        .iter()
        .filter(|name| !name.starts_with(['_', '.']))
        .filter_map(|name| match name.strip_suffix(".tgz") {
            Some(_) => Some(read(&files[&format!("charts/{name}")])),
            None => Some(below(files, &format!("charts/{name}"))).filter(|files| files.contains_key("Chart.yaml")).map(|files| chart(&files)),
        })
        .collect();
    let said = |key| metadata.as_ref().and_then(|root| root.text_at(&[key])).unwrap_or_default().to_owned();
    Chart { name: said("name"), version: said("version"), values: text(files, "values.yaml"), bundled, dependencies: listed }
}

fn yaml(text: &str) -> Option<Node> {
    Some(parse_stream(text, &Limits::default()).into_iter().next()?.unwrap().root)
}

fn dependencies(root: &Option<Node>) -> Vec<Listed> {
    let Some(entries) = root.as_ref().and_then(|root| root.get("dependencies")) else { return Vec::new() };
    let said = |entry: &Node, key: &str| entry.text_at(&[key]).map(str::to_owned);
    entries
        .items()
        .iter()
        .map(|entry| Listed {
            name: said(entry, "name").unwrap(),
            version: said(entry, "version").unwrap_or_default(),
            alias: said(entry, "alias").filter(|alias| !alias.is_empty()),
            condition: said(entry, "condition"),
            tags: entry.get("tags").map_or(&[][..], Node::items).iter().filter_map(|tag| Some(tag.text()?.to_owned())).collect(),
        })
        .collect()
}

fn unpack(archive: &[u8]) -> Files {
    let mut tar = Vec::new();
    flate2::read::MultiGzDecoder::new(archive).read_to_end(&mut tar).unwrap();
    let field =
        |header: &[u8], from: usize, to: usize| header[from..to].split(|b| *b == 0).next().map(|text| String::from_utf8_lossy(text).into_owned()).unwrap();
    let (mut files, mut at, mut long_name) = (Files::new(), 0, None::<String>);
    while let Some(header) = tar.get(at..at + 512).filter(|header| header[0] != 0) {
        let size = usize::from_str_radix(field(header, 124, 136).trim(), 8).unwrap();
        let body = &tar[at + 512..at + 512 + size];
        match header[156] {
            b'L' => long_name = Some(String::from_utf8_lossy(body).trim_end_matches('\0').to_owned()),
            b'x' => {
                let record = String::from_utf8_lossy(body).into_owned();
                long_name = record.lines().find_map(|line| Some(line.split_once(" path=")?.1.to_owned())).or(long_name);
            }
            b'0' | 0 => {
                let prefix = if &header[257..262] == b"ustar" { field(header, 345, 500) } else { String::new() };
                let short = field(header, 0, 100);
                let name = long_name.take().unwrap_or(if prefix.is_empty() { short } else { format!("{prefix}/{short}") });
                files.insert(name.trim_start_matches("./").to_owned(), body.to_vec());
            }
            _ => long_name = None,
        }
        at += 512 + size.div_ceil(512) * 512;
    }
    files
}
