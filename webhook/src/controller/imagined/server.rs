//! So much of Kubernetes' API as a controller uses, over the objects of an imagined cluster. Notes the cluster before and after each write that changes something.

use std::sync::{Arc, Mutex};

use http::request::Parts;
use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::{World, judged};
use crate::api;
use crate::cluster::text;

/// What the API server and etcd work on.
pub(super) struct Imagined {
    pub(super) world: World,
    /// Writes that changed something, in their sequence.
    pub(super) points: Vec<Point>,
}

pub(super) type Shared = Arc<Mutex<Imagined>>;

/// A write.
#[derive(Clone)]
pub(super) struct Point {
    /// What it changes, in words.
    pub(super) what: String,
    pub(super) before: World,
    pub(super) after: World,
}

type Answer = Result<Value, (u16, &'static str, &'static str)>;

const NOT_FOUND: (u16, &str, &str) = (404, "NotFound", "not found");
const CONFLICT: (u16, &str, &str) = (409, "Conflict", "the object has been modified");
const TAKEN: (u16, &str, &str) = (409, "AlreadyExists", "already exists");
const TEST_FAILED: (u16, &str, &str) = (422, "Invalid", "the server rejected our request due to an error in our request");

/// A client of it.
pub(super) fn client(shared: &Shared) -> Client {
    let shared = Arc::clone(shared);
    let service = tower::service_fn(move |request: Request<Body>| {
        let shared = Arc::clone(&shared);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let answer = note(&mut shared.lock().unwrap(), &head, &body);
            let (code, answer) = match answer {
                Ok(value) => (200, value),
                Err((code, reason, message)) => (
                    code,
                    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code, "reason": reason, "message": message}),
                ),
            };
            let response = Response::builder().status(code).header("content-type", "application/json");
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>(response.body(Body::from(answer.to_string().into_bytes()))?)
        }
    });
    Client::new(service, "db")
}

/// Answers, and notes what was written.
fn note(imagined: &mut Imagined, head: &Parts, body: &[u8]) -> Answer {
    if head.method == Method::GET {
        return answer(&mut imagined.world, head, body);
    }
    let before = imagined.world.clone();
    let answered = answer(&mut imagined.world, head, body);
    // What was seen to run is written down beside all else.
    let is_witness = body.windows(api::OBSERVED.len()).any(|part| part == api::OBSERVED.as_bytes()) && head.uri.path().ends_with("/upgradereceipts");
    if imagined.world.objects != before.objects && !is_witness {
        let what = describe(&before, &imagined.world);
        imagined.points.push(Point { what, before, after: imagined.world.clone() });
    }
    answered
}

fn answer(world: &mut World, head: &Parts, body: &[u8]) -> Answer {
    let parts: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
    let rest = match parts.as_slice() {
        ["api", _, rest @ ..] | ["apis", _, _, rest @ ..] => rest,
        _ => return Err(NOT_FOUND),
    };
    let rest = if let ["namespaces", _, below @ ..] = rest { below } else { rest };
    let query = decoded(head.uri.query().unwrap_or_default());
    let of = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let manager = of("fieldManager");
    let sent = || serde_json::from_slice::<Value>(body).unwrap();
    match (&head.method, rest) {
        (&Method::POST, ["events"]) => Ok(sent()),
        (&Method::GET, [plural]) => {
            let items: Vec<&Value> = world.all(plural).filter(|object| matches(object, of("labelSelector").unwrap_or_default())).collect();
            let kind = items.first().and_then(|object| text(object, "/kind")).unwrap_or("Object");
            let version = items.first().and_then(|object| text(object, "/apiVersion")).unwrap_or("v1");
            Ok(json!({"kind": format!("{kind}List"), "apiVersion": version, "metadata": {"resourceVersion": "1"}, "items": items}))
        }
        (&Method::GET, [plural, name]) => world.object(plural, name).cloned().ok_or(NOT_FOUND),
        (&Method::GET, [plural, name, "scale"]) => world.object(plural, name).map(scale).ok_or(NOT_FOUND),
        (&Method::POST, [plural]) => {
            let object = sent();
            let name = text(&object, "/metadata/name").unwrap().to_owned();
            if world.object(plural, &name).is_some() {
                return Err(TAKEN);
            }
            world.put(plural, object);
            Ok(world.object(plural, &name).unwrap().clone())
        }
        (&Method::PUT, [plural, name, below @ ..]) => {
            let before = world.object(plural, name).cloned().ok_or(NOT_FOUND)?;
            let object = sent();
            if text(&object, "/metadata/resourceVersion").is_some_and(|version| Some(version) != text(&before, "/metadata/resourceVersion")) {
                return Err(CONFLICT);
            }
            let mut after = before.clone();
            match below {
                ["scale"] => {
                    after["spec"]["replicas"] = object["spec"]["replicas"].clone();
                    own(&mut after, manager, Some("scale"));
                }
                ["status"] => after["status"] = object["status"].clone(),
                _ => after = object,
            }
            world.put(plural, after);
            let after = world.object(plural, name).unwrap();
            Ok(if below == ["scale"] { scale(after) } else { after.clone() })
        }
        (&Method::PATCH, [plural, name]) => {
            let before = world.object(plural, name).cloned().ok_or(NOT_FOUND)?;
            let patch: json_patch::Patch = serde_json::from_value(sent()).unwrap();
            let mut after = before.clone();
            json_patch::patch(&mut after, &patch).map_err(|_| TEST_FAILED)?;
            judged::admit(world, &before, &mut after);
            let strip = |object: &Value| {
                let mut object = object.clone();
                object["metadata"].as_object_mut().unwrap().remove("managedFields");
                object
            };
            if strip(&after) != strip(&before) {
                own(&mut after, manager, None);
            }
            world.put(plural, after);
            Ok(world.object(plural, name).unwrap().clone())
        }
        (&Method::DELETE, [plural, name]) => {
            if !world.delete(plural, name) {
                return Err(NOT_FOUND);
            }
            world.version += 1;
            Ok(json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}))
        }
        (method, rest) => panic!("the imagined API server knows no {method} {rest:?}"),
    }
}

/// Notes who wrote, as the API server does.
fn own(object: &mut Value, manager: Option<&str>, subresource: Option<&str>) {
    let Some(manager) = manager else { return };
    let metadata = object["metadata"].as_object_mut().unwrap();
    let entries = metadata.entry("managedFields").or_insert_with(|| json!([])).as_array_mut().unwrap();
    entries.retain(|entry| text(entry, "/manager") != Some(manager) || text(entry, "/subresource") != subresource);
    let mut entry = json!({"manager": manager, "operation": "Update", "apiVersion": "apps/v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}});
    if let Some(subresource) = subresource {
        entry["subresource"] = json!(subresource);
    }
    entries.push(entry);
}

fn scale(object: &Value) -> Value {
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1",
        "metadata": {"name": object["metadata"]["name"], "namespace": "db", "uid": object["metadata"]["uid"], "resourceVersion": object["metadata"]["resourceVersion"]},
        "spec": {"replicas": object["spec"]["replicas"]}, "status": {"replicas": 0}})
}

/// Requirements of the forms `a=b` and `a in (b,c)`.
fn matches(object: &Value, selector: &str) -> bool {
    let labels = &object["metadata"]["labels"];
    let has = |name: &str, values: &[&str]| labels.get(name).and_then(Value::as_str).is_some_and(|value| values.contains(&value));
    if let Some((name, values)) = selector.split_once(" in (") {
        return has(name, &values.trim_end_matches(')').split(',').collect::<Vec<_>>());
    }
    selector.split(',').filter(|part| !part.is_empty()).all(|part| part.split_once('=').is_some_and(|(name, value)| has(name, &[value])))
}

fn decoded(query: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, tail @ ..] = rest {
            (rest, bytes) = match (first, tail) {
                (b'%', [high, low, tail @ ..]) => {
                    let byte = u8::from_str_radix(std::str::from_utf8(&[*high, *low]).unwrap(), 16).unwrap();
                    (tail, [bytes, vec![byte]].concat())
                }
                (b'+', tail) => (tail, [bytes, vec![b' ']].concat()),
                (byte, tail) => (tail, [bytes, vec![*byte]].concat()),
            };
        }
        String::from_utf8(bytes).unwrap()
    };
    query.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (decode(key), decode(value))).collect()
}

/// What a write changes, in words that are the same in every run.
fn describe(before: &World, after: &World) -> String {
    let is_new = |key: &&(String, String)| before.objects.get(*key) != after.objects.get(*key);
    let (plural, name) = before.objects.keys().chain(after.objects.keys()).find(is_new).unwrap();
    let (was, is) = (before.object(plural, name), after.object(plural, name));
    let kind = was.or(is).and_then(|object| text(object, "/kind")).unwrap();
    let short = crate::cluster::label(was.or(is).unwrap(), crate::migration::KIND_LABEL).unwrap_or_else(|| name.trim_start_matches("m-milvus-"));
    let of = match kind {
        "Deployment" | "Job" => format!("{kind} {short}"),
        _ => kind.to_owned(),
    };
    let (Some(was), Some(is)) = (was, is) else {
        let is_barred = is.is_some_and(|object| crate::cluster::annotation(object, crate::migration::jobs::BARRED_ANNOTATION).is_some());
        return match (was, is_barred) {
            (None, true) => format!("{of}: made, barred"),
            (None, false) => format!("{of}: made"),
            _ => format!("{of}: deleted"),
        };
    };
    if kind == "GuardedUpgrade" {
        let phase = text(is, "/status/phase").unwrap_or_default();
        return format!("{of}: status, {phase}");
    }
    let keys = |object: &Value| object.pointer("/metadata/annotations").and_then(Value::as_object).cloned().unwrap_or_default();
    let ours = |key: &String| key.trim_start_matches("guard.milvus-guard.dev/").to_owned();
    let mut words: Vec<String> = keys(is).keys().filter(|key| !keys(was).contains_key(*key)).map(|key| format!("+{}", ours(key))).collect();
    if was.pointer("/spec/paused") != is.pointer("/spec/paused") {
        words.push("not paused".into());
    } else {
        words.extend(keys(was).keys().filter(|key| !keys(is).contains_key(*key)).map(|key| format!("-{}", ours(key))));
    }
    if was["spec"]["replicas"] != is["spec"]["replicas"] {
        words.push(format!("replicas {} to {}", was["spec"]["replicas"], is["spec"]["replicas"]));
    }
    if was["spec"]["template"] != is["spec"]["template"] {
        words.push("template".into());
    }
    if words.is_empty() {
        words.push("owns no field any more".into());
    }
    format!("{of}: {}", words.join(", "))
}
