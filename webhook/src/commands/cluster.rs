//! The cluster as commands read it: lists and objects of any kind, and errors that say which right lacks.

use kube::api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, PartialObjectMeta, Patch, PatchParams};
use kube::{Api, Client};
use milvus_guard_webhook::api;
use milvus_guard_webhook::cluster::text;
use milvus_guard_webhook::doctor::installation::{NAMES, arguments};
use milvus_guard_webhook::leave;
use milvus_guard_webhook::server::registration::FIELD_MANAGER;
use serde_json::{Value, json};

use super::server::{LOOK, Server};

const NO_KUBECONFIG: &str = "no way to the API server: no kubeconfig (KUBECONFIG, ~/.kube/config) that can be used";

/// A cluster, or one namespace of it.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) client: Client,
    pub(super) namespace: Option<String>,
    /// Which one it is.
    pub(super) server: Server,
}

impl Cluster {
    /// The cluster of the kubeconfig, or the one that this runs in. It has to answer.
    pub(super) async fn of_kubeconfig(namespace: Option<String>) -> anyhow::Result<Self> {
        let cluster = Self::of(config().await?, namespace)?;
        cluster.must_answer().await.map(|()| cluster)
    }

    /// The same for commands that only read, and that an API server which does not answer shall not keep: no watch lives on it.
    pub(super) async fn for_a_look(namespace: Option<String>) -> anyhow::Result<Self> {
        let mut config = config().await?;
        config.connect_timeout = Some(LOOK);
        config.read_timeout = Some(LOOK);
        Self::of(config, namespace)
    }

    fn of(config: kube::Config, namespace: Option<String>) -> anyhow::Result<Self> {
        let server = Server::of(&config);
        let client = Client::try_from(config).map_err(|error| anyhow::anyhow!("{NO_KUBECONFIG}: {}", why(&error)))?;
        Ok(Self { client, namespace, server })
    }

    /// Refuses where the API server does not answer, and says which one that is.
    pub(super) async fn must_answer(&self) -> anyhow::Result<()> {
        self.server.must_answer(&self.client, LOOK).await
    }

    pub(super) fn api(&self, version: &str, kind: &str, namespace: Option<&str>) -> Api<DynamicObject> {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        }
    }

    /// All objects of a kind; none where the API server does not know it.
    pub(super) async fn list(&self, version: &str, kind: &str) -> anyhow::Result<Vec<Value>> {
        Ok(self.list_served(version, kind).await?.unwrap_or_default())
    }

    /// All objects of a kind; nothing where the API server does not know it.
    pub(super) async fn list_served(&self, version: &str, kind: &str) -> anyhow::Result<Option<Vec<Value>>> {
        self.select(version, kind, "").await.map_err(|error| anyhow::anyhow!("listing {}: {}", plural(kind), why(&error)))
    }

    /// The objects of a kind with these labels; nothing where the API server does not know the kind.
    pub(super) async fn select(&self, version: &str, kind: &str, labels: &str) -> Result<Option<Vec<Value>>, kube::Error> {
        let api = self.api(version, kind, self.namespace.as_deref());
        let mut found = Vec::new();
        let mut parameters = ListParams::default().limit(500).labels(labels);
        loop {
            let page = match api.list(&parameters).await {
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
                page => page?,
            };
            found.extend(page.items.into_iter().map(|object| typed(object, version, kind)));
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => parameters = parameters.continue_token(&next),
                None => return Ok(Some(found)),
            }
        }
    }

    /// The metadata alone of objects with these labels: nothing of what they hold leaves the API server.
    pub(super) async fn select_metadata(&self, version: &str, kind: &str, labels: &str) -> Result<Vec<PartialObjectMeta<DynamicObject>>, kube::Error> {
        let api = self.api(version, kind, self.namespace.as_deref());
        let mut found = Vec::new();
        let mut parameters = ListParams::default().limit(500).labels(labels);
        loop {
            let page = api.list_metadata(&parameters).await?;
            found.extend(page.items);
            match page.metadata.continue_.filter(|next| !next.is_empty()) {
                Some(next) => parameters = parameters.continue_token(&next),
                None => return Ok(found),
            }
        }
    }

    /// Whether our own kinds are defined. Discovery tells everybody, while a listing of a kind that is not there is refused to whom it would be refused if it were.
    pub(super) async fn has_our_kinds(&self) -> Result<bool, kube::Error> {
        match self.client.list_api_group_resources(api::API_VERSION).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether it is to be seen that no controller is installed: not where that may not be read.
    pub(super) async fn lacks_controller(&self) -> bool {
        let everywhere = Self { namespace: None, ..self.clone() };
        let found = everywhere.select("apps/v1", "Deployment", &format!("app.kubernetes.io/name in ({})", NAMES.join(","))).await;
        found.is_ok_and(|found| !has_controller(&found.unwrap_or_default()))
    }

    /// Whether it is to be seen that there is no such namespace.
    pub(super) async fn lacks_namespace(&self, name: &str) -> bool {
        matches!(self.get("v1", "Namespace", None, name).await, Ok(None))
    }

    /// One object; nothing where there is none.
    pub(super) async fn get(&self, version: &str, kind: &str, namespace: Option<&str>, name: &str) -> Result<Option<Value>, kube::Error> {
        Ok(self.api(version, kind, namespace).get_opt(name).await?.map(|object| typed(object, version, kind)))
    }
}

/// What kubeconfig or service account say.
async fn config() -> anyhow::Result<kube::Config> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    kube::Config::infer().await.map_err(|error| anyhow::anyhow!("{NO_KUBECONFIG}: {}", in_full(&error)))
}

impl Cluster {
    /// Sends a JSON patch that only counts for the very version of the object that was read, and takes us off the owners of its fields: Helm 4 applies server-side, and would meet a conflict at its
    /// next upgrade. Says whether that was possible: others may write it all the time.
    pub(super) async fn change(&self, object: &Value, patch: &json_patch::Patch) -> Result<bool, kube::Error> {
        Ok(self.change_by(object, &leave::guarded(object, patch)).await?.1)
    }

    /// The same by operations; what became of the object, too.
    pub(super) async fn change_by(&self, object: &Value, operations: &Value) -> Result<(Value, bool), kube::Error> {
        let mut after = self.send(object, operations, false).await?;
        // Controllers write at the same time; an empty patch reads.
        for _ in 0..20 {
            let Some(disowning) = leave::disowning(&after, FIELD_MANAGER) else { return Ok((after, true)) };
            after = match self.send(object, &disowning, false).await {
                Ok(after) => after,
                Err(_) => self.send(object, &json!([]), false).await?,
            };
        }
        Ok((after, false))
    }

    /// Sends a JSON patch; what became of the object, or would in a dry run.
    pub(super) async fn send(&self, object: &Value, operations: &Value, dry_run: bool) -> Result<Value, kube::Error> {
        let (version, kind) = (text(object, "/apiVersion").unwrap_or_default(), text(object, "/kind").unwrap_or_default());
        let api = self.api(version, kind, text(object, "/metadata/namespace"));
        let patch = Patch::<()>::Json(serde_json::from_value(operations.clone()).map_err(kube::Error::SerdeError)?);
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), dry_run, ..PatchParams::default() };
        Ok(typed(api.patch(text(object, "/metadata/name").unwrap_or_default(), &parameters, &patch).await?, version, kind))
    }
}

/// Whether one of the guard's Deployments is that of a controller.
fn has_controller(deployments: &[Value]) -> bool {
    deployments.iter().any(|deployment| arguments(deployment).any(|argument| argument == "controller"))
}

/// With API version and kind, which lists leave out.
pub(super) fn typed(object: DynamicObject, version: &str, kind: &str) -> Value {
    let mut object = serde_json::to_value(object).unwrap_or_default();
    if let Some(table) = object.as_object_mut() {
        table.insert("apiVersion".into(), json!(version));
        table.insert("kind".into(), json!(kind));
    }
    object
}

/// Whether the API server did not answer at all.
pub(super) const fn is_unanswered(error: &kube::Error) -> bool {
    matches!(error, kube::Error::HyperError(_) | kube::Error::Service(_))
}

/// An error in the words of the API server: of a refusal, they name the user, the verb and the resource.
pub(super) fn why(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("{} ({})", status.reason, status.code),
        error => in_full(error),
    }
}

/// An error with its causes, each told once.
fn in_full(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let next = cause.to_string();
        if !words.contains(&next) {
            words = format!("{words}: {next}");
        }
        source = cause.source();
    }
    words
}

/// Kinds in the plural, as people read them.
pub(super) fn plural(kind: &str) -> String {
    kind.strip_suffix("Policy").map_or_else(|| format!("{kind}s"), |stem| format!("{stem}Policies"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guard_without_a_controller_is_known_by_what_its_deployments_run() {
        let running = |part: &str| json!({"spec": {"template": {"spec": {"containers": [{"args": [part, "--x"]}]}}}});
        assert!(!has_controller(&[]) && !has_controller(&[running("webhook")]));
        assert!(has_controller(&[running("webhook"), running("controller")]));
    }
}
