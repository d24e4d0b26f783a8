//! Carries out what only a migration needs: fence, Jobs. Each is one object of a derived name, made or deleted; that it is there already, or gone, is success.

use std::collections::BTreeSet;
use std::fmt::Debug;

use anyhow::{Context as _, bail};
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::api::{Api, DeleteParams, PostParams};
use kube::{Client, Resource};
use milvus_guard::rollout::Deed;
use milvus_guard::rollout::observed::JobKind;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::observe::{Asked, files, jobs as jobs_of};
use super::settings::settings;
use super::{Attempt, fence, jobs};

/// What deeds need besides what is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Means<'m> {
    /// Our own image.
    pub image: &'m str,
    /// What the Milvus of the release is called in `app.kubernetes.io/name`.
    pub names: &'m BTreeSet<String>,
    /// Who writes.
    pub manager: &'m str,
}

/// Carries out `Fence`, `Unfence`, `Run` and `Bar`.
///
/// # Errors
/// Why it could not be done.
pub async fn act(client: &Client, asked: Asked<'_>, means: Means<'_>, deed: &Deed) -> anyhow::Result<()> {
    let attempt = asked.attempt;
    let fence = fence::Of { namespace: &attempt.namespace, release: &attempt.release };
    let make = |manager: &str| PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
    let parameters = make(means.manager);
    match deed {
        Deed::Fence => {
            create(Api::<ValidatingAdmissionPolicy>::all(client.clone()), &parameters, fence.policy(means.names)).await.context("putting the fence up")?;
            create(Api::<ValidatingAdmissionPolicyBinding>::all(client.clone()), &parameters, fence.binding()).await.context("putting the fence up")
        }
        Deed::Unfence => {
            delete(Api::<ValidatingAdmissionPolicyBinding>::all(client.clone()), &fence.name()).await.context("taking the fence away")?;
            delete(Api::<ValidatingAdmissionPolicy>::all(client.clone()), &fence.name()).await.context("taking the fence away")
        }
        Deed::Run(kind) => {
            let files = match files(client, asked).await? {
                Ok(files) => files,
                Err(why) => bail!(why),
            };
            let settings = settings(asked.spec, files.iter().map(String::as_str), None)?;
            if *kind == JobKind::Backup {
                let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), &attempt.namespace);
                create(claims, &parameters, jobs::claim(attempt, &settings)).await.context("making the claim for the backup")?;
            }
            // What is put back is the backup of the attempt in which the tool ran.
            let touched = if *kind == JobKind::Restore { jobs_of(client, attempt).await?.touched } else { None };
            let file = Attempt { number: touched.unwrap_or(attempt.number), ..attempt.clone() }.file();
            let job = jobs::job(attempt, &settings, *kind, &file, means.image);
            create(Api::<Job>::namespaced(client.clone(), &attempt.namespace), &parameters, job)
                .await
                .with_context(|| format!("making the {} Job", kind.name()))
        }
        Deed::Bar(kind) => {
            let job = jobs::barred(attempt, *kind, means.image);
            create(Api::<Job>::namespaced(client.clone(), &attempt.namespace), &parameters, job)
                .await
                .with_context(|| format!("barring the {} Job", kind.name()))
        }
        other => bail!("this is no deed of a migration: {other:?}"),
    }
}

async fn create<K>(api: Api<K>, parameters: &PostParams, object: Value) -> anyhow::Result<()>
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    match api.create(parameters, &serde_json::from_value(object)?).await {
        Ok(_) => Ok(()),
        // Whoever made it: its name says what it is.
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn delete<K>(api: Api<K>, name: &str) -> anyhow::Result<()>
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error.into()),
    }
}
