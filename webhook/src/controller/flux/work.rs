//! What is done for one object of Flux's: its Secret of carried values written or taken away, Flux asked again.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use super::carried::{self, NotCarried};
use super::{HelmRelease, REQUESTED_AT, RESET_AT};
use crate::admission::gitops::carried_values_secret;
use crate::controller::FIELD_MANAGER;
use crate::leave::disowning;

/// When to look again whether gate 2 is in force: it comes into force once a replica answers.
const NOT_IN_FORCE: Duration = Duration::from_secs(10);

/// Times that others may write in between while we take ourselves off the owners of fields.
const DISOWNINGS: usize = 20;

/// An object by namespace and name.
pub type Key = (Arc<str>, Arc<str>);

/// What this works with.
#[derive(Clone)]
pub struct Work {
    /// A way to the API server.
    pub client: Client,
    /// Namespaces of HelmReleases whose values may be carried: elsewhere there is no right to write Secrets.
    pub carries_in: Arc<[String]>,
    /// The name of the guard's webhook configurations.
    pub configuration: Arc<str>,
}

impl std::fmt::Debug for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Work").finish_non_exhaustive()
    }
}

impl Work {
    /// Whether values may be carried in a namespace.
    #[must_use]
    pub fn carries_in(&self, namespace: &str) -> bool {
        self.carries_in.iter().any(|known| known == namespace)
    }

    /// Does what is due for a HelmRelease; when to look again, if nothing of it moves before. `token`: what may have opened a way for what it was refused.
    ///
    /// # Errors
    /// When the API server did not answer, or refused.
    pub async fn helm_release(&self, key: &Key, release: &HelmRelease, token: Option<&str>) -> anyhow::Result<Option<Duration>> {
        let mut again = None;
        if self.carries_in(&key.0) {
            again = self.carry(key, release).await?;
        }
        if let Some(token) = token.filter(|token| release.is_refused && release.reset.as_deref() != Some(token)) {
            tracing::info!(
                namespace = &*key.0,
                name = &*key.1,
                "a HelmRelease was refused, and what was declared or waived has changed: Flux is asked to try again"
            );
            self.ask(&release.api_version, "HelmRelease", key, &[(REQUESTED_AT, token), (RESET_AT, token)]).await?;
        }
        Ok(again)
    }

    /// Asks Flux to apply a Kustomization again, of which an object was refused.
    ///
    /// # Errors
    /// When the API server did not answer, or refused.
    pub async fn kustomization(&self, key: &Key, api_version: &str, requested: Option<&str>, token: &str) -> anyhow::Result<()> {
        if requested != Some(token) {
            tracing::info!(
                namespace = &*key.0,
                name = &*key.1,
                "an object of a Kustomization was refused, and what was declared or waived has changed: Flux is asked to try again"
            );
            self.ask(api_version, "Kustomization", key, &[(REQUESTED_AT, token)]).await?;
        }
        Ok(())
    }

    /// Writes the Secret of carried values, has the gates put it in, or takes it away where nobody wants it.
    async fn carry(&self, key: &Key, release: &HelmRelease) -> anyhow::Result<Option<Duration>> {
        let (namespace, name) = (&*key.0, &*key.1);
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret_name = carried_values_secret(name);
        let existing = secrets.get_opt(&secret_name).await?;
        if let Some(existing) = existing.as_ref().filter(|existing| !carried::is_ours(existing)) {
            tracing::warn!(namespace, name, secret = existing.name_any(), "a Secret of this name is somebody else's: values are not carried");
            return Ok(None);
        }
        // Where no gate puts it in, a Secret would only lie about; who leaves takes it away.
        let waits = release.is_here && release.asks && !self.is_in_force().await?;
        if !release.is_here || waits || !(release.asks || release.refers) {
            if let (Some(existing), false) = (existing, release.refers) {
                let preconditions = Preconditions { uid: existing.uid(), resource_version: existing.resource_version() };
                drop(secrets.delete(&secret_name, &DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }).await?);
                tracing::info!(namespace, name, "the Secret of carried values is deleted: nobody takes it any more");
            }
            return Ok(waits.then_some(NOT_IN_FORCE));
        }
        let Some(revision) = carried::reused(&self.client, release).await? else { return Ok(None) };
        let wanted = match carried::secret(namespace, name, release, &revision) {
            Ok(wanted) => wanted,
            // Only another revision changes that.
            Err(refused @ NotCarried::NotOurs(_)) => {
                tracing::warn!(namespace, name, "{refused}");
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
        match existing {
            Some(existing) if carried::is_same(&existing, &wanted) => {}
            Some(existing) => {
                let mut next = wanted;
                next.metadata.resource_version = existing.resource_version();
                secrets.replace(&secret_name, &parameters, &next).await?;
                tracing::info!(namespace, name, revision = revision.number, "the carried values are those of the newest deployed revision");
            }
            None => {
                secrets.create(&parameters, &wanted).await?;
                tracing::info!(namespace, name, revision = revision.number, "values are carried");
            }
        }
        // Once for each revision: where the gates leave it as it is (`mode: audit`), they go on doing so.
        let token = format!("milvus-guard-carried-{}", revision.number);
        if release.asks && release.requested.as_deref() != Some(&token) {
            let after = self.ask(&release.api_version, "HelmRelease", key, &[(REQUESTED_AT, &token)]).await?;
            let is_taken = HelmRelease::read(&after).is_some_and(|after| after.refers);
            tracing::info!(namespace, name, is_taken, "the gates were asked to put the carried values in");
        }
        Ok(None)
    }

    /// Whether gate 2 sees HelmReleases.
    async fn is_in_force(&self) -> kube::Result<bool> {
        let all: Api<MutatingWebhookConfiguration> = Api::all(self.client.clone());
        let webhooks = all.get_opt(&self.configuration).await?.and_then(|found| found.webhooks);
        let mut resources = webhooks.into_iter().flatten().filter_map(|webhook| webhook.rules).flatten().filter_map(|rule| rule.resources).flatten();
        Ok(resources.any(|resource| resource == "helmreleases"))
    }

    /// Puts annotations on an object of Flux's, and leaves no field of it ours: the tool that applies it would meet a conflict. What became of the object.
    async fn ask(&self, api_version: &str, kind: &str, key: &Key, annotations: &[(&str, &str)]) -> anyhow::Result<Value> {
        let (group, version) = api_version.rsplit_once('/').unwrap_or(("", api_version));
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &key.0, &resource);
        let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
        let annotations: serde_json::Map<String, Value> = annotations.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let after = api.patch(&key.1, &parameters, &Patch::Merge(&json!({"metadata": {"annotations": annotations}}))).await?;
        let mut object = serde_json::to_value(after)?;
        let told = object.clone();
        for _ in 0..DISOWNINGS {
            let Some(operations) = disowning(&object, FIELD_MANAGER) else { break };
            let send = async |operations: Value| {
                let patch = Patch::<()>::Json(serde_json::from_value(operations)?);
                anyhow::Ok(serde_json::to_value(api.patch(&key.1, &parameters, &patch).await?)?)
            };
            // Others write at the same time; an empty patch reads.
            object = match send(operations).await {
                Ok(after) => after,
                Err(_) => send(json!([])).await?,
            };
        }
        Ok(told)
    }
}
