//! Whether `helm rollback` leads back: gate 1 is asked what it would say, over the objects that were read.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use super::Revision;
use crate::admission::guard::{Configuration, Guard};
use crate::admission::release::{Driver, Packed, SECRET_TYPE, encoded};
use crate::admission::request::{Kind, Operation, User};
use crate::admission::{Gate, Judge as _, Request};
use crate::cluster::Snapshot;

/// Revisions before the newest that gate 1 may look at.
pub const REVISIONS: u32 = 5;

/// Why a rollback of a release from its newest revision to the last completed one is refused, in one sentence. Nothing where it passes, and where that cannot be told. `stored`: what stores
/// its revisions, as far as they are there.
pub async fn refused(cluster: &Snapshot, stored: Vec<Value>, newest: &Revision) -> Option<String> {
    let to = newest.completed_before?;
    let wanted = name_of(&newest.release, to);
    let object = rollback(stored.iter().find(|object| super::name(object) == wanted)?, newest)?;
    let mut cluster = cluster.clone();
    stored.into_iter().for_each(|object| cluster.put(object));
    let request = Request {
        uid: String::new(),
        kind: Kind { group: String::new(), version: "v1".into(), kind: kind(newest.driver).into() },
        sub_resource: None,
        name: super::name(&object).to_owned(),
        namespace: newest.namespace.clone(),
        operation: Operation::Create,
        user_info: User::default(),
        object,
        old_object: Value::Null,
        dry_run: None,
        options: Value::Null,
        known_by: None,
    };
    let answer = Guard::new(Arc::new(cluster), Configuration::default()).judge(Gate::HelmStorage, Arc::new(request)).await;
    // Where the namespace stops nothing, the rules say the same.
    let rules = answer.audit.get("rules")?;
    let cause = answer.causes.first().map(|cause| format!("{}: {}", cause.rule, first_sentence(&cause.message)));
    Some(cause.unwrap_or_else(|| format!("{rules} [milvus-lint explain RULE]")))
}

/// What stores revisions.
#[must_use]
pub const fn kind(driver: Driver) -> &'static str {
    match driver {
        Driver::Secret => "Secret",
        Driver::ConfigMap => "ConfigMap",
    }
}

/// The object that Helm creates when it begins to roll back to a revision.
fn rollback(to: &Value, newest: &Revision) -> Option<Value> {
    let packed = Packed::of(encoded(to).ok()?, newest.driver).ok()?;
    let mut release: serde_json::Map<String, Value> = serde_json::from_slice(&packed.inflate().ok()?).ok()?;
    let (number, status) = (newest.number.saturating_add(1), "pending-rollback");
    release.insert("version".into(), json!(number));
    release.insert("info".into(), json!({"status": status}));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    serde_json::to_writer(&mut gzip, &release).ok()?;
    let once = STANDARD.encode(gzip.finish().ok()?);
    let labels = json!({"owner": "helm", "name": newest.release, "status": status, "version": number.to_string()});
    Some(json!({
        "apiVersion": "v1", "kind": kind(newest.driver), "type": SECRET_TYPE,
        "metadata": {"name": name_of(&newest.release, number), "namespace": newest.namespace, "labels": labels},
        "data": {"release": if newest.driver == Driver::Secret { STANDARD.encode(once) } else { once }}
    }))
}

/// The name of what stores a revision.
#[must_use]
pub fn name_of(release: &str, revision: u32) -> String {
    format!("sh.helm.release.v1.{release}.v{revision}")
}

fn first_sentence(text: &str) -> &str {
    text.find(". ").and_then(|at| text.get(..at)).unwrap_or_else(|| text.trim_end_matches('.'))
}
