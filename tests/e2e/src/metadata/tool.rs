//! A stand-in for upstream's `meta-migration`: the same keys, in the same sequence, on a real etcd. What it is told to do wrong stands in the tag of its image.

use std::time::Duration;

use serde_json::{Value, json};

use crate::etcd::{All, Keys};

/// What upstream's tool deletes, in its sequence.
const DELETED: [&str; 11] = [
    "root-coord/collection",
    "snapshots/root-coord/collection",
    "root-coord/collection-alias",
    "snapshots/root-coord/collection-alias",
    "root-coord/segment-index",
    "root-coord/index",
    "indexes",
    "root-coord/dd-msg-send",
    "snapshots/root-coord/dd-msg-send",
    "root-coord/dd-operation",
    "snapshots/root-coord/dd-operation",
];

const ROLES: [&str; 8] = ["rootcoord", "indexcoord", "indexnode", "datacoord", "datanode", "querycoord", "querynode", "proxy"];

/// Runs it with a configuration. `image` may end with a fault: `fails-first`, `dies-half-deleted`, `dies-half-written`, `hangs-half-written`, `does-nothing`.
///
/// # Errors
/// With the exit code and what it prints.
pub async fn run(configuration: &Value, image: &str) -> Result<String, (i32, String)> {
    let failed = |why: &str| (1, why.to_owned());
    let text = |pointer: &str| configuration.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    assert_eq!(text("/cmd/type"), "run");
    let (source, target) = (semver(&text("/config/sourceVersion")), semver(&text("/config/targetVersion")));
    let (Some(source), Some(target)) = (source, target) else { return Err(failed("Invalid character(s) found in version")) };
    if target < (2, 2, 0, 1) || image.ends_with("does-nothing") {
        return Ok("version compatible, no need to migrate".into());
    }
    if !((2, 1, 0, 1)..(2, 2, 0, 0)).contains(&source) || target >= (2, 3, 0, 0) {
        return Err(failed("migration from source version to target version is forbidden"));
    }
    let port = text("/etcd/endpoints/0").rsplit_once(':').unwrap().1.parse().unwrap();
    let (keys, meta) = (Keys { port }, format!("{}/{}", text("/etcd/rootPath"), text("/etcd/metaSubPath")));
    for role in ROLES {
        let alive = keys.all(&format!("{meta}/session/{role}")).await.len();
        if alive > 0 {
            return Err(failed(&format!("there are still sessions alive, prefix: {role}, num of alive sessions: {alive}")));
        }
    }
    if image.ends_with("fails-first") {
        return Err(failed("cannot do it"));
    }
    let lease = keys.put_leased(&format!("{meta}/session/migration"), br#"{"ServerName":"migration"}"#, 60).await;
    let before = keys.all(&format!("{meta}/")).await;
    for (at, prefix) in DELETED.iter().enumerate() {
        keys.delete_all(&format!("{meta}/{prefix}")).await;
        if at == 3 && image.ends_with("dies-half-deleted") {
            // A process that is killed does not end its session; it would, 60 seconds later.
            keys.end_lease(&lease).await;
            return Err((2, "killed".into()));
        }
    }
    let after = of_2_2(&before, &meta);
    for (at, (key, value)) in after.iter().enumerate() {
        keys.put(key, value).await;
        if at == after.len() / 2 && image.ends_with("half-written") {
            if image.ends_with("hangs-half-written") {
                keys.end_lease(&lease).await;
                tokio::time::sleep(Duration::from_secs(3_600)).await;
            }
            keys.end_lease(&lease).await;
            return Err((2, "session up/down, exit migration".into()));
        }
    }
    keys.end_lease(&lease).await;
    Ok("migration session expired".into())
}

/// Numbers of a version, and whether it is a release: strict, as upstream reads it.
fn semver(text: &str) -> Option<(u32, u32, u32, u32)> {
    let (numbers, pre) = text.split_once('-').map_or((text, false), |(numbers, _)| (numbers, true));
    let numbers: Vec<u32> = numbers.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?;
    match numbers.as_slice() {
        [major, minor, patch] => Some((*major, *minor, *patch, u32::from(!pre))),
        _ => None,
    }
}

/// The keys of 2.2 that metadata of 2.1 becomes.
pub fn of_2_2(before: &All, meta: &str) -> All {
    let below = |prefix: &str| {
        let prefix = format!("{meta}/{prefix}");
        before.iter().filter_map(move |(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value.clone())))
    };
    let mut after = All::new();
    let mut put = |key: String, value: Vec<u8>| after.insert(format!("{meta}/{key}"), value);
    for history in ["", "snapshots/"] {
        for (rest, value) in below(&format!("{history}root-coord/collection/")) {
            put(format!("{history}root-coord/collection/{rest}"), value);
        }
        for (rest, value) in below(&format!("{history}root-coord/collection-alias/")) {
            put(format!("{history}root-coord/aliases/{rest}"), value);
        }
    }
    for (rest, value) in below("root-coord/index/") {
        put(format!("field-index/{rest}"), value);
    }
    for (rest, value) in below("root-coord/segment-index/") {
        let segment = rest.split('/').next().unwrap();
        let (collection, partition, build) = (number(&value, 1), number(&value, 2), number(&value, 6));
        assert!(before.contains_key(&format!("{meta}/indexes/{build}")), "index build meta not found");
        put(format!("segment-index/{collection}/{partition}/{segment}/{build}"), value);
    }
    for (rest, value) in below("queryCoord-collectionMeta/") {
        put(format!("querycoord-collection-loadinfo/{rest}"), value);
    }
    after
}

/// A number of a protobuf message whose fields before it are numbers.
fn number(message: &[u8], wanted: u8) -> u64 {
    let mut rest = message;
    while let [tag, tail @ ..] = rest {
        let (mut value, mut at) = (0_u64, 0);
        loop {
            value |= u64::from(tail[at] & 0x7f) << (7 * at);
            at += 1;
            if tail[at - 1] < 0x80 {
                break;
            }
        }
        if *tag == wanted << 3 {
            return value;
        }
        rest = &tail[at..];
    }
    0
}

/// What a test's configuration of the tool says (YAML).
pub fn read(text: &str) -> Value {
    serde_yaml::from_str(text).unwrap_or_else(|error| json!({"error": error.to_string()}))
}
