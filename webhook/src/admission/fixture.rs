//! Releases as Helm would store them, for tests: values from the catalogue, objects by name, label and image as the chart renders them.

use std::fmt::Write as _;
use std::sync::Arc;

use milvus_guard::model::catalogue::Catalogue;
use milvus_guard::model::change::Environment;
use milvus_guard::model::declaration::{Declaration, Defaults, Form, Layer, Lineage};
use milvus_guard::model::place::{Fact, Origin, Place};
use milvus_guard::model::release::Release;
use milvus_guard::model::value::{Node, Value as Values};
use milvus_guard::model::version::VersionSpec;
use serde_json::{Map, Value, json};

/// What a stored release is made from.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    pub(crate) revision: u32,
    pub(crate) status: &'static str,
    pub(crate) chart: &'static str,
    /// The chart whose values are carried, where it is another one.
    pub(crate) values_of: Option<&'static str>,
    pub(crate) config: Value,
    /// The wrapper's name and the key of Milvus in it.
    pub(crate) wrapper: Option<(&'static str, &'static str)>,
    pub(crate) name_override: Option<&'static str>,
    /// Components removed from the rendering are told here.
    pub(crate) namespace: &'static str,
}

impl Recipe {
    pub(crate) fn new(chart: &'static str, revision: u32, config: Value) -> Self {
        let status = if revision == 1 { "deployed" } else { "superseded" };
        Self { name: "m", revision, status, chart, values_of: None, config, wrapper: None, name_override: None, namespace: "db" }
    }

    pub(crate) fn status(mut self, status: &'static str) -> Self {
        self.status = status;
        self
    }

    /// The state that the recipe resolves to.
    pub(crate) fn resolved(&self) -> Release {
        let mut declaration = Declaration::blank(Form::HelmRelease, "", Place::file_start(&"recipe".into()));
        declaration.chart.lineage = Lineage::Zilliztech;
        declaration.chart.version = Fact::Known(VersionSpec::parse(self.chart), Origin::Given("recipe".into()));
        if let Some(other) = self.values_of {
            declaration.defaults = Defaults::Of(other.parse().unwrap());
        }
        let values = milvus_guard::model::json::read(&self.config.to_string(), &|_, _| Origin::Given("recipe".into())).unwrap();
        declaration.layers.push(Layer::Table { values, what: "recipe".into() });
        Release::resolve(Arc::new(declaration), None, &Environment::default(), Catalogue::embedded())
    }

    fn tag(&self) -> String {
        let release = self.resolved();
        let found = release.effective.lookup("image.all.tag").found().and_then(|entry| entry.node.value.as_str().map(str::to_owned));
        found.unwrap()
    }

    /// The chart's image with the tag in force.
    pub(crate) fn image(&self) -> String {
        format!("milvusdb/milvus:{}", self.tag())
    }

    fn chart_label(&self) -> &'static str {
        self.wrapper.map_or("milvus", |(_, key)| key)
    }

    fn label(&self) -> &'static str {
        self.name_override.unwrap_or_else(|| self.chart_label())
    }

    /// A component's Deployment as the chart renders it, in the API's JSON.
    pub(crate) fn deployment(&self, component: &str) -> Value {
        let labels = json!({"app.kubernetes.io/name": self.label(), "app.kubernetes.io/instance": self.name, "component": component});
        let mut meta = labels.as_object().unwrap().clone();
        meta.insert("helm.sh/chart".into(), json!(format!("{}-{}", self.chart_label(), self.chart)));
        meta.insert("app.kubernetes.io/managed-by".into(), json!("Helm"));
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": format!("{}-{}-{component}", self.name, self.label()), "namespace": self.namespace, "labels": meta,
                "annotations": {"meta.helm.sh/release-name": self.name, "meta.helm.sh/release-namespace": self.namespace}},
            "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {
                "metadata": {"labels": labels, "annotations": {"checksum/config": self.checksum()}},
                "spec": {"containers": [{"name": component, "image": self.image(), "args": ["/milvus/tools/run.sh", "milvus", "run", component],
                    "volumeMounts": [{"name": "milvus-config", "mountPath": "/milvus/configs/default.yaml", "subPath": "default.yaml"}]}],
                    "volumes": [{"name": "milvus-config", "configMap": {"name": format!("{}-{}", self.name, self.label())}}]}}}
        })
    }

    /// The ConfigMap with the rendered configuration: so much of it as tells where data lies.
    pub(crate) fn config_map(&self) -> Value {
        let release = self.resolved();
        let queue = release.queue.known().map(|queue| format!("{:?}", queue.kind).to_ascii_lowercase()).unwrap();
        let name = format!("{}-{}", self.name, self.label());
        let text = format!(
            "mq:\n  type: {queue}\netcd:\n  endpoints:\n    - {}-etcd:2379\n  rootPath: {}\nminio:\n  address: {}-minio\n  bucketName: milvus-bucket\n",
            self.name, self.name, self.name
        );
        let user = self.config.pointer("/extraConfigFiles/user.yaml").and_then(Value::as_str).unwrap_or_default();
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": self.namespace}, "data": {"default.yaml": text, "user.yaml": user}})
    }

    fn checksum(&self) -> String {
        super::change::digest_of_text(&format!("{} {}", self.config, self.chart))
    }

    pub(crate) fn components(&self) -> Vec<&'static str> {
        self.resolved().components.iter().map(|component| component.name).collect()
    }

    /// The rendered objects.
    pub(crate) fn manifest(&self) -> String {
        let mut text = String::new();
        for component in self.components() {
            write!(text, "---\n# Source: milvus/templates/{component}-deployment.yaml\n{}", serde_yaml::to_string(&self.deployment(component)).unwrap())
                .unwrap();
        }
        text
    }

    /// The JSON that Helm stores.
    pub(crate) fn stored(&self) -> Value {
        let values = to_json(&Catalogue::embedded().defaults(&self.values_of.unwrap_or(self.chart).parse().unwrap()).unwrap());
        let (name, version, values, config, dependencies) = match self.wrapper {
            None => ("milvus", self.chart, values, self.config.clone(), Value::Null),
            Some((wrapper, key)) => {
                (wrapper, "0.1.0", json!({key: values}), json!({key: self.config}), json!([{"name": "milvus", "alias": key, "version": self.chart}]))
            }
        };
        json!({
            "name": self.name, "namespace": self.namespace, "version": self.revision, "info": {"status": self.status, "description": ""},
            "chart": {"metadata": {"name": name, "version": version, "dependencies": dependencies}, "values": values, "templates": []},
            "config": config, "manifest": self.manifest(), "hooks": []
        })
    }

    /// The Secret that keeps it.
    pub(crate) fn secret(&self) -> Value {
        use super::release::{Driver, tests::pack};
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
            "metadata": {"name": format!("sh.helm.release.v1.{}.v{}", self.name, self.revision), "namespace": self.namespace,
                "labels": {"owner": "helm", "name": self.name, "status": self.status, "version": self.revision.to_string()}},
            "data": {"release": pack(&self.stored(), Driver::Secret)}
        })
    }
}

/// Values as JSON; what the catalogue does not know is left out.
fn to_json(node: &Node) -> Value {
    match &node.value {
        Values::Null => Value::Null,
        Values::Bool(value) => json!(value),
        Values::Int(value) => json!(value),
        Values::Float(value) => json!(value),
        Values::String(text) => json!(&**text),
        Values::List(items) => items.iter().map(to_json).collect(),
        Values::Table(table) => Value::Object(table.entries.iter().map(|(key, entry)| (key.to_string(), to_json(&entry.node))).collect::<Map<_, _>>()),
        Values::Unknown(_) => json!("kept elsewhere"),
    }
}
