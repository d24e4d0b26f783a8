//! Reviews as the API server sends them: of releases that Helm stored, of GitOps objects, of what is not Milvus, and of what means harm.

use std::io::Read as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use hyper::body::Bytes;
use serde_json::{Value, json};

use super::shapes::{helm_release, milvus_release, pack_text, packed_to, review};

/// Bodies of one kind, sent in turn.
pub type Bodies = Arc<Vec<Bytes>>;

/// The longest body that the webhook takes.
const LONGEST: usize = 8 << 20;

fn bytes(review: &Value) -> Bytes {
    Bytes::from(serde_json::to_vec(review).unwrap())
}

/// How many states a HelmRelease goes through: far more than the webhook remembers.
const STATES: u64 = 1024;

/// How many changes are under way at a time: a write follows when its dry run was answered, not at once.
const UNDER_WAY: u64 = 32;

/// A HelmRelease of Milvus that is changed again and again, as Flux does it: each state from the one before, a dry run and then the write.
pub fn helm_releases(namespace: &str) -> Bodies {
    let of = |number| milvus_release(number, "v2.5.16", namespace);
    let one = |number: u64, dry_run: bool| {
        let mut review = review(&of(number + 1), Some(&of(number)), namespace);
        review["request"]["dryRun"] = dry_run.into();
        bytes(&review)
    };
    let turn = |first: u64| [true, false].into_iter().flat_map(move |dry_run| (first..first + UNDER_WAY).map(move |number| one(number, dry_run)));
    Arc::new((0..STATES).step_by(UNDER_WAY as usize).flat_map(turn).collect())
}

/// Changes of HelmReleases of Milvus whose states never were in a review before; every second one is another Milvus too.
pub fn unseen_helm_releases(namespace: &str) -> Bodies {
    let tag = |number: u64| if number.is_multiple_of(2) { "v2.5.16" } else { "v2.5.22" };
    let one = |number: u64| review(&milvus_release(2 * number + 1, tag(number), namespace), Some(&milvus_release(2 * number, "v2.5.16", namespace)), namespace);
    Arc::new((0..STATES).map(|number| bytes(&one(number))).collect())
}

/// The first few changes of a HelmRelease of Milvus, which come again and again, as from tools that try until they are let.
pub fn helm_releases_again(namespace: &str) -> Bodies {
    Arc::new(helm_releases(namespace).iter().take(2 * UNDER_WAY as usize).cloned().collect())
}

/// A release of Helm, unpacked.
#[derive(Debug, Clone)]
pub struct Stored {
    secret: Value,
    release: Value,
}

impl Stored {
    /// The release in a Secret as the API shows it.
    pub fn of(secret: Value) -> Self {
        let once = STANDARD.decode(secret["data"]["release"].as_str().unwrap()).unwrap();
        let mut text = Vec::new();
        GzDecoder::new(STANDARD.decode(once).unwrap().as_slice()).read_to_end(&mut text).unwrap();
        Self { release: serde_json::from_slice(&text).unwrap(), secret }
    }

    /// The Secret with the release as it is now; `kib` of text in `data.release` at least, by templates that its chart has in addition.
    pub fn secret(&self, kib: usize) -> Value {
        let mut secret = self.secret.clone();
        secret["data"]["release"] = packed_to(&mut self.release.clone(), kib).into();
        // It replaces whatever is stored.
        secret["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        secret
    }

    /// Its next revision, about to be written, with another Milvus.
    pub fn upgraded(&self, tag: &str) -> Self {
        let mut next = self.clone();
        let revision = self.release["version"].as_u64().unwrap() + 1;
        next.release["version"] = revision.into();
        next.release["info"]["status"] = "pending-upgrade".into();
        next.release["info"]["description"] = "Preparing upgrade".into();
        let before = next.release["chart"]["values"]["image"]["all"]["tag"].as_str().unwrap().to_owned();
        let manifest = next.release["manifest"].as_str().unwrap().replace(&format!("milvus:{before}"), &format!("milvus:{tag}"));
        next.release["manifest"] = manifest.into();
        next.release["config"] = merged(&next.release["config"], &json!({"image": {"all": {"tag": tag}}}));
        next.named("m", revision, "pending-upgrade")
    }

    /// A release of something else of the same shape: nowhere the word that all of Milvus has.
    pub fn of_another(&self) -> Self {
        let text = self.release.to_string().replace("milvus", "valkey").replace("Milvus", "Valkey");
        let mut other = Self { release: serde_json::from_str(&text).unwrap(), secret: self.secret.clone() };
        other.release["chart"]["templates"] = json!([]);
        other.named("valkey", 1, "pending-install")
    }

    fn named(mut self, name: &str, revision: u64, status: &str) -> Self {
        let labels = json!({"owner": "helm", "name": name, "status": status, "version": revision.to_string(), "modifiedAt": "1767600000"});
        self.secret["metadata"] = json!({"name": format!("sh.helm.release.v1.{name}.v{revision}"), "namespace": self.secret["metadata"]["namespace"],
            "labels": labels});
        self
    }

    /// The reviews of its creation.
    pub fn reviews(&self, kib: usize, namespace: &str) -> Bodies {
        Arc::new(vec![bytes(&review(&self.secret(kib), None, namespace))])
    }

    /// Releases that cost as much as they can.
    fn bombs(&self, namespace: &str) -> Vec<Bytes> {
        let of_text = |text: &[u8]| {
            let mut secret = self.secret.clone();
            secret["data"]["release"] = pack_text(text).into();
            bytes(&review(&secret, None, namespace))
        };
        let whole = serde_json::to_vec(&self.release).unwrap();
        let blanks = vec![b' '; (31 << 20) - whole.len()];
        let mut manifest = self.release.clone();
        let text = format!("{}\n# {}", self.release["manifest"].as_str().unwrap(), "milvus ".repeat(4 << 20));
        manifest["manifest"] = text.into();
        let mut documents = self.release.clone();
        documents["manifest"] =
            format!("{}{}", self.release["manifest"].as_str().unwrap(), "\n---\nkind: Deployment\nx: {helm.sh/chart: milvus-4.2.58}".repeat(100_000)).into();
        let mut wide = self.release.clone();
        wide["config"] = json!({"a": vec![json!({"b": 0}); 45_000]});
        wide["chart"]["values"] = wide["config"].clone();
        let deep = format!(r#"{{"name":"milvus","config":{}"#, "[".repeat(20 << 20));
        vec![
            of_text(&[whole.clone(), blanks.clone()].concat()),
            of_text(&[whole, blanks.clone(), blanks].concat()),
            of_text(&serde_json::to_vec(&manifest).unwrap()),
            of_text(&serde_json::to_vec(&documents).unwrap()),
            of_text(&serde_json::to_vec(&wide).unwrap()),
            of_text(deep.as_bytes()),
        ]
    }

    /// Bodies for gate 1 that mean harm: bombs in gzip, and JSON that is deep, wide or long.
    pub fn harmful(&self, namespace: &str) -> Bodies {
        let mut all = self.bombs(namespace);
        let with = |path: &str, text: &str| {
            let mut object = self.secret(0);
            object["metadata"]["annotations"] = json!({"filled": "HERE"});
            bytes(&review(&object, None, namespace)).to_vec().into_iter().map(char::from).collect::<String>().replacen(path, text, 1)
        };
        let fill = |unit: &str, bytes: usize| unit.repeat(bytes / unit.len());
        let texts = [
            with("\"HERE\"", &fill("[", LONGEST - (1 << 20))),
            with("\"HERE\"", &format!("[{}0]", fill("{\"milvus\":0},", 1_800_000))),
            with("\"HERE\"", &format!("[{}0]", fill("{\"milvus\":0},", LONGEST - (1 << 20)))),
            with("\"HERE\"", &format!("[{}0]", fill("0,", 590_000))),
            with("HERE", &fill("milvus", LONGEST - (1 << 20))),
            with("HERE", &fill("milvus", LONGEST + (1 << 20))),
        ];
        all.extend(texts.into_iter().map(Bytes::from));
        Arc::new(all)
    }
}

/// `over` laid over `below`.
fn merged(below: &Value, over: &Value) -> Value {
    match (below, over) {
        (Value::Object(below), Value::Object(over)) => {
            let mut all = below.clone();
            for (key, value) in over {
                let value = merged(below.get(key).unwrap_or(&Value::Null), value);
                all.insert(key.clone(), value);
            }
            Value::Object(all)
        }
        _ => over.clone(),
    }
}

/// Objects without Milvus that the registration lets through, by gate: a HelmRelease, an Argo CD Application, a store of another chart, a ConfigMap.
pub fn strangers(namespace: &str) -> [(&'static str, &'static str, Bodies); 4] {
    let before = helm_release("podinfo", "podinfo", "6.7.0", namespace);
    let mut after = before.clone();
    after["spec"]["values"] =
        json!({"replicaCount": 3, "ui": {"message": "hello"}, "ingress": {"enabled": true, "hosts": [{"host": "podinfo.example", "paths": ["/"]}]}});
    let application = |revision: &str| {
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {"name": "guestbook", "namespace": namespace},
            "spec": {"project": "default", "source": {"repoURL": "https://charts.example", "chart": "guestbook", "targetRevision": revision,
                "helm": {"values": "replicas: 3\nimage:\n  tag: v5\n"}}, "destination": {"server": "https://kubernetes.default.svc", "namespace": "guestbook"}}})
    };
    let store = |tag: &str| {
        let labels = json!({"app.kubernetes.io/name": "etcd", "app.kubernetes.io/instance": "shop"});
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "shop-etcd", "namespace": namespace, "labels": labels, "generation": 4},
            "spec": {"replicas": 3, "serviceName": "shop-etcd", "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"containers": [
                {"name": "etcd", "image": format!("bitnami/etcd:{tag}"), "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}, "ports": [{"containerPort": 2379}]}]}}}})
    };
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": namespace, "labels": {"owner": "helm"}},
        "data": {"settings.yaml": "a: b\n".repeat(200)}});
    let one = |object: &Value, before: Option<&Value>| Arc::new(vec![bytes(&review(object, before, namespace))]);
    [
        ("HelmRelease of another chart", "/gates/gitops", one(&after, Some(&before))),
        ("Application of another chart", "/gates/gitops", one(&application("2.0.0"), Some(&application("1.0.0")))),
        ("StatefulSet of another chart", "/gates/workload", one(&store("3.5.18"), Some(&store("3.5.16")))),
        ("ConfigMap that is no release", "/gates/helm-storage", one(&map, None)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::shapes::pack;
    use super::*;

    fn stored() -> Stored {
        let release = json!({"name": "m", "version": 1, "info": {"status": "deployed"}, "chart": {"templates": [], "values": {"image": {"all": {"tag": "v2.5.16"}}}},
            "config": {"cluster": {"enabled": true}}, "manifest": "image: milvusdb/milvus:v2.5.16\n"});
        Stored::of(json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s", "namespace": "n"}, "data": {"release": pack(&release)}}))
    }

    #[test]
    fn a_release_grows_to_a_size_and_stays_itself() {
        for kib in [20, 100, 1024] {
            let secret = stored().secret(kib);
            let size = secret["data"]["release"].as_str().unwrap().len();
            assert!(size >= kib << 10 && size < (kib << 10) * 12 / 10, "{kib}: {size}");
            assert_eq!(Stored::of(secret).release["manifest"], stored().release["manifest"]);
        }
    }

    #[test]
    fn an_upgrade_changes_values_and_objects_and_another_release_has_no_milvus() {
        let next = stored().upgraded("v2.5.22");
        assert_eq!((&next.release["config"]["image"]["all"]["tag"], &next.release["version"]), (&json!("v2.5.22"), &json!(2)));
        assert_eq!(next.release["config"]["cluster"]["enabled"], true);
        assert_eq!(next.release["manifest"], "image: milvusdb/milvus:v2.5.22\n");
        assert_eq!(next.secret["metadata"]["labels"]["version"], "2");
        assert!(!stored().of_another().release.to_string().to_lowercase().contains("milvus"));
    }
}
