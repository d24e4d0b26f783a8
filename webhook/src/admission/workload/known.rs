//! Whether a Deployment that is called like a component of Milvus is one: other software has its proxies and coordinators, too, and is none of ours.

use serde_json::Value;

use super::super::hold::{Identity, is_held};
use super::super::milvus::repository_of;
use super::super::request::Request;
use crate::cluster::running::{configuration_mounts, list};
use crate::cluster::{label, text};

/// The name of the chart, in labels and in what selects pods.
const NAME: &str = "milvus";

/// How images of Milvus are called, whoever mirrors them.
const IMAGES: [&str; 2] = ["milvus", "milvus-gpu"];

/// Whether a request is about a component of Milvus. What was one before the write is one whatever the write says of it.
pub(super) fn is_milvus(request: &Request) -> bool {
    Identity::of(&request.object).is_some() && [&request.object, &request.old_object].into_iter().any(tells)
}

/// Whether an object tells that it is Milvus: by its labels, a hold, its image, or the configuration that it mounts, which is where it is whatever the chart (an alias) and the image (a mirror)
/// are called.
fn tells(object: &Value) -> bool {
    let is_called = label(object, "app.kubernetes.io/name") == Some(NAME) || text(object, "/spec/selector/matchLabels/app.kubernetes.io~1name") == Some(NAME);
    let is_of_chart = || label(object, "helm.sh/chart").is_some_and(|chart| chart.starts_with("milvus-"));
    let has_image = || list(object, "/spec/template/spec/containers").filter_map(|container| text(container, "/image")).any(is_image);
    let is_configured = || object.pointer("/spec/template").is_some_and(|template| configuration_mounts(template).next().is_some());
    is_called || is_of_chart() || is_held(object) || has_image() || is_configured()
}

fn is_image(image: &str) -> bool {
    repository_of(image).rsplit('/').next().is_some_and(|name| IMAGES.contains(&name))
}
