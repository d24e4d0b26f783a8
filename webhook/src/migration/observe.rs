//! Looks at a migration: Jobs, fence, and metadata in etcd, in this order.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, ListParams};
use kube::{Client, Resource};
use milvus_guard::rollout::Component;
use milvus_guard::rollout::observed::{self, Known, Layout, Metadata, Moment};
use milvus_guard::source::configuration::FILES;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::settings::{CREDENTIALS_LABEL, Settings, settings};
use super::state::{Jobs, Proof};
use super::{Attempt, ID_LABEL, fence};
use crate::cluster::text;
use crate::metadata::etcd::{Access, Etcd, Login, tls};
use crate::metadata::layout::Counts;
use crate::metadata::sessions::Session;
use crate::metadata::tool::Pair;

/// The longest that etcd is asked in one round.
const ETCD_AT_MOST: Duration = Duration::from_secs(20);

/// What makes a StorageClass the cluster's own.
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";

/// What is observed.
#[derive(Debug, Clone, Default)]
pub struct Observation {
    /// Metadata and the state of its migration.
    pub metadata: Metadata,
    /// Sessions in etcd.
    pub sessions: Known<Vec<observed::Session>>,
    /// Sessions in words, with who holds them.
    pub owners: Vec<String>,
    /// What the verified backup holds.
    pub proof: Option<Proof>,
}

/// What is asked about.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The attempt.
    pub attempt: &'a Attempt,
    /// `spec` of the `GuardedUpgrade`.
    pub spec: &'a Value,
    /// The ConfigMaps that Milvus mounts its configuration from.
    pub configurations: &'a [Arc<str>],
}

/// Observes a migration. `holder`: the component of the pod that holds a session.
///
/// # Errors
/// When the API server gave no answer.
pub async fn observe(client: &Client, asked: Asked<'_>, holder: impl Fn(&Session) -> Option<Component>, now: Moment) -> anyhow::Result<Observation> {
    let jobs = jobs(client, asked.attempt).await?;
    let fence = is_fenced(client, asked.attempt).await?;
    let unknown = |why: String| Observation {
        metadata: Metadata {
            layout: Known::No(why.as_str().into()),
            backup: jobs.backup.clone(),
            jobs: jobs.jobs.clone(),
            is_fenced: fence.unwrap_or_default(),
        },
        sessions: Known::No(why.into()),
        owners: Vec::new(),
        proof: jobs.proof.clone(),
    };
    let Some(is_fenced) = fence else {
        return Ok(unknown(
            "this cluster has no ValidatingAdmissionPolicy (Kubernetes 1.30 and later), and without one nothing keeps pods away while metadata is migrated"
                .into(),
        ));
    };
    if jobs.jobs.is_empty()
        && !is_fenced
        && let Err(why) = fit_to_begin(client, asked).await?
    {
        return Ok(unknown(why));
    }
    let (place, access) = match reach(client, asked).await? {
        Ok(found) => found,
        Err(why) => return Ok(unknown(why)),
    };
    let etcd = Etcd::new(access);
    let asked_etcd = async {
        Ok::<_, crate::metadata::etcd::EtcdError>((
            crate::metadata::counts(&etcd, &place.place.location).await?,
            crate::metadata::sessions(&etcd, &place.place.location).await?,
        ))
    };
    let (counts, sessions): (Counts, Vec<Session>) = match tokio::time::timeout(ETCD_AT_MOST, asked_etcd).await {
        Ok(Ok(read)) => read,
        Ok(Err(error)) => return Ok(unknown(error.to_string())),
        Err(_) => return Ok(unknown(format!("etcd gave no answer within {} seconds", ETCD_AT_MOST.as_secs()))),
    };
    let layout = jobs.layout(&counts);
    let held = || Known::Yes(sessions.iter().filter_map(|session| session.observed(holder(session), now)).collect());
    // What has to stop is told by sessions. What has started is not: nothing proves that the version that a session tells is always that of the image.
    let is_over = !is_fenced && layout == Known::Yes(Layout::V22);
    Ok(Observation {
        sessions: if is_over { Known::No("they are not asked once metadata is migrated".into()) } else { held() },
        metadata: Metadata { layout, backup: jobs.backup, jobs: jobs.jobs, is_fenced },
        owners: sessions.iter().map(Session::owner).collect(),
        proof: jobs.proof,
    })
}

/// What has to be true before anything is stopped, and is not asked any more after that.
async fn fit_to_begin(client: &Client, asked: Asked<'_>) -> anyhow::Result<Result<(), String>> {
    if let Err(unsupported) = Pair::new(asked.attempt.from, asked.attempt.to) {
        return Ok(Err(unsupported.to_string()));
    }
    let classes = values(Api::<StorageClass>::all(client.clone()), &ListParams::default()).await.context("listing StorageClasses")?.unwrap_or_default();
    let is_default = |class: &Value| class.pointer("/metadata/annotations").and_then(|all| all.get(DEFAULT_CLASS)).and_then(Value::as_str) == Some("true");
    Ok(match text(asked.spec, "/metadataMigration/storageClass") {
        Some(wanted) if !classes.iter().any(|class| text(class, "/metadata/name") == Some(wanted)) => {
            Err(format!("there is no StorageClass {wanted} for the backup (spec.metadataMigration.storageClass)"))
        }
        None if !classes.iter().any(is_default) => {
            Err("the cluster has no default StorageClass for the backup: name one in spec.metadataMigration.storageClass".into())
        }
        _ => Ok(()),
    })
}

/// All Jobs of an upgrade.
///
/// # Errors
/// When the API server gave no answer.
pub async fn jobs(client: &Client, attempt: &Attempt) -> anyhow::Result<Jobs> {
    let selector = ListParams::default().labels(&format!("{ID_LABEL}={}", attempt.id));
    // First the Jobs: pods that are seen after a Job was seen to fail are those that are left of it.
    let jobs = values(Api::<Job>::namespaced(client.clone(), &attempt.namespace), &selector).await.context("listing Jobs")?.unwrap_or_default();
    let pods = values(Api::<Pod>::namespaced(client.clone(), &attempt.namespace), &selector).await.context("listing pods of Jobs")?.unwrap_or_default();
    Ok(Jobs::read(&jobs, &pods, attempt.number))
}

/// Whether policy and binding are there; nothing where the API server knows no such thing.
async fn is_fenced(client: &Client, attempt: &Attempt) -> anyhow::Result<Option<bool>> {
    let fence = fence::Of { namespace: &attempt.namespace, release: &attempt.release };
    let selector = ListParams::default().labels(&fence.selector());
    let policies = values(Api::<ValidatingAdmissionPolicy>::all(client.clone()), &selector).await.context("listing ValidatingAdmissionPolicies")?;
    let bindings =
        values(Api::<ValidatingAdmissionPolicyBinding>::all(client.clone()), &selector).await.context("listing bindings of ValidatingAdmissionPolicies")?;
    let has = |objects: &[Value]| objects.iter().any(|object| text(object, "/metadata/name") == Some(fence.name().as_str()));
    Ok(policies.zip(bindings).map(|(policies, bindings)| has(&policies) && has(&bindings)))
}

/// All objects; nothing where the API server does not know the kind.
async fn values<K>(api: Api<K>, parameters: &ListParams) -> anyhow::Result<Option<Vec<Value>>>
where
    K: Resource + Clone + DeserializeOwned + Serialize + Debug,
{
    match api.list(parameters).await {
        Ok(list) => Ok(Some(list.items.into_iter().map(serde_json::to_value).collect::<Result<_, _>>()?)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The files of the configuration that Milvus reads, lowest first. Charts below 3.3.2 mount `milvus.yaml` as the whole of it, whatever else the ConfigMap holds.
///
/// # Errors
/// When the API server gave no answer.
pub async fn files(client: &Client, asked: Asked<'_>) -> anyhow::Result<Result<Vec<String>, String>> {
    if asked.configurations.is_empty() {
        return Ok(Err("no workload of the release mounts a configuration of Milvus".into()));
    }
    let [whole, ..] = FILES;
    let mut data = BTreeMap::new();
    for name in asked.configurations {
        let found = Api::<ConfigMap>::namespaced(client.clone(), &asked.attempt.namespace).get_opt(name).await.context("reading the configuration")?;
        let Some(map) = found else { return Ok(Err(format!("ConfigMap {name} is not there"))) };
        for (file, text) in map.data.unwrap_or_default().into_iter().filter(|(file, _)| FILES.contains(&file.as_str())) {
            if data.insert(file.clone(), text).is_some() {
                return Ok(Err(format!("several ConfigMaps of the release have a {file}: {}", asked.configurations.join(", "))));
            }
        }
    }
    let files = data.remove(whole).map_or_else(|| FILES.iter().filter_map(|file| data.remove(*file)).collect(), |text| vec![text]);
    Ok(Ok(files))
}

/// Where metadata lies, and the way there from here.
async fn reach(client: &Client, asked: Asked<'_>) -> anyhow::Result<Result<(Settings, Access), String>> {
    let files = match files(client, asked).await? {
        Ok(files) => files,
        Err(why) => return Ok(Err(why)),
    };
    let settings = match settings(asked.spec, files.iter().map(String::as_str), Some(&asked.attempt.namespace)) {
        Ok(settings) => settings,
        Err(unset) => return Ok(Err(unset.to_string())),
    };
    let mut access = Access { endpoints: settings.place.endpoints.clone(), ..Access::default() };
    if let Some(name) = &settings.credentials {
        let found = Api::<Secret>::namespaced(client.clone(), &asked.attempt.namespace).get_opt(name).await.context("reading etcd's credentials")?;
        let Some(secret) = found else { return Ok(Err(format!("there is no Secret {name} (spec.metadataMigration.etcdCredentials)"))) };
        if let Err(why) = lent(&secret, asked.attempt) {
            return Ok(Err(why));
        }
        if let Err(why) = credentials(&secret.data.unwrap_or_default(), &settings, &mut access) {
            return Ok(Err(format!("Secret {name}: {why}")));
        }
    }
    Ok(Ok((settings, access)))
}

/// Whether a Secret is lent to the migration of a release.
fn lent(secret: &Secret, attempt: &Attempt) -> Result<(), String> {
    let Attempt { namespace, release, .. } = attempt;
    if secret.metadata.labels.as_ref().and_then(|labels| labels.get(CREDENTIALS_LABEL)) == Some(release) {
        return Ok(());
    }
    let name = secret.metadata.name.as_deref().unwrap_or_default();
    Err(format!(
        "Secret {name} is not lent to this migration; somebody who may write it does that: kubectl -n {namespace} label secret {name} {CREDENTIALS_LABEL}={release}"
    ))
}

/// Takes over what a Secret holds.
fn credentials(data: &BTreeMap<String, k8s_openapi::ByteString>, settings: &Settings, access: &mut Access) -> Result<(), String> {
    let of = |key: &str| data.get(key).map(|bytes| String::from_utf8_lossy(&bytes.0).into_owned());
    access.login = of("username")
        .zip(of("password"))
        .map(|(name, password)| Login { name: name.trim_end_matches('\n').to_owned(), password: password.trim_end_matches('\n').to_owned() });
    if settings.place.wants_login && access.login.is_none() {
        return Err("it has no username and password".into());
    }
    if settings.place.has_tls {
        let authority = of("ca.crt").ok_or("it has no ca.crt")?;
        let client = of("tls.crt").zip(of("tls.key"));
        let pair = client.as_ref().map(|(chain, key)| (chain.as_str(), key.as_str()));
        access.tls = Some(tls(&authority, pair).map_err(|unusable| unusable.to_string())?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_counts_only_for_the_release_that_it_is_lent_to() {
        let attempt = Attempt {
            namespace: "db".into(),
            release: "m".into(),
            id: "0a1b2c3d".into(),
            owners: Vec::new(),
            from: "2.1.4".parse().unwrap(),
            to: "2.2.16".parse().unwrap(),
            number: 0,
            job_seconds: 1,
        };
        let told = |labels: Value| {
            let object = json!({"metadata": {"name": "payroll", "labels": labels}, "data": {"password": "aHVudGVyMg=="}});
            lent(&serde_json::from_value(object).unwrap(), &attempt)
        };
        assert_eq!(told(json!({"guard.milvus-guard.dev/etcd-credentials": "m"})), Ok(()));
        for labels in [json!({}), Value::Null, json!({"guard.milvus-guard.dev/etcd-credentials": "other"})] {
            let why = told(labels).unwrap_err();
            assert!(why.ends_with("kubectl -n db label secret payroll guard.milvus-guard.dev/etcd-credentials=m") && !why.contains("hunter2"), "{why}");
        }
    }
}
