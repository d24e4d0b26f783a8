//! Reviews as the API server sends them: of releases that Helm stored, of GitOps objects, of what is not Milvus, and of what means harm.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use hyper::body::Bytes;
use serde_json::{Value, json};

/// Bodies of one kind, sent in turn.
pub type Bodies = Arc<Vec<Bytes>>;

/// The longest body that the webhook takes.
const LONGEST: usize = 8 << 20;

fn bytes(review: &Value) -> Bytes {
    Bytes::from(serde_json::to_vec(review).unwrap())
}

/// A review of an object that is created, or changed from `before`.
pub fn review(object: &Value, before: Option<&Value>, namespace: &str) -> Value {
    let (group, version) = object["apiVersion"].as_str().unwrap().rsplit_once('/').unwrap_or(("", "v1"));
    let kind = json!({"group": group, "version": version, "kind": object["kind"]});
    let resource = format!("{}s", object["kind"].as_str().unwrap().to_lowercase());
    let resource = json!({"group": group, "version": version, "resource": resource});
    json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
        "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
        "name": object["metadata"]["name"], "namespace": namespace, "operation": if before.is_some() { "UPDATE" } else { "CREATE" },
        "userInfo": {"username": "system:serviceaccount:flux-system:kustomize-controller", "uid": "014fbff9a07c",
            "groups": ["system:serviceaccounts", "system:serviceaccounts:flux-system", "system:authenticated"]},
        "object": object, "oldObject": before, "dryRun": false,
        "options": {"kind": "PatchOptions", "apiVersion": "meta.k8s.io/v1", "fieldManager": "kustomize-controller", "force": true}}})
}

/// How many states a HelmRelease goes through: far more than the webhook remembers.
const STATES: u64 = 1024;

/// A HelmRelease of Milvus that is changed again and again, as Flux does it: each state from the one before, a dry run and then the write.
pub fn helm_releases(namespace: &str) -> Bodies {
    let reviews = (0..STATES).flat_map(|number| {
        let of = |number| milvus_release(number, "v2.5.16", namespace);
        let write = review(&of(number + 1), Some(&of(number)), namespace);
        let mut dry_run = write.clone();
        dry_run["request"]["dryRun"] = true.into();
        [dry_run, write]
    });
    Arc::new(reviews.map(|review| bytes(&review)).collect())
}

/// Changes of HelmReleases of Milvus whose states never were in a review before; every second one is another Milvus too.
pub fn unseen_helm_releases(namespace: &str) -> Bodies {
    let tag = |number: u64| if number.is_multiple_of(2) { "v2.5.16" } else { "v2.5.22" };
    let one = |number: u64| review(&milvus_release(2 * number + 1, tag(number), namespace), Some(&milvus_release(2 * number, "v2.5.16", namespace)), namespace);
    Arc::new((0..STATES).map(|number| bytes(&one(number))).collect())
}

/// A HelmRelease of some size; each number is another count of query nodes.
fn milvus_release(number: u64, tag: &str, namespace: &str) -> Value {
    let mut object = helm_release("m", "milvus", "4.2.58", namespace);
    object["spec"]["values"] = json!({
        "image": {"all": {"repository": "milvusdb/milvus", "tag": tag}},
        "cluster": {"enabled": true},
        "etcd": {"replicaCount": 3, "persistence": {"size": "10Gi", "storageClass": "fast"}},
        "minio": {"mode": "distributed", "persistence": {"size": "500Gi", "storageClass": "fast"}, "resources": {"requests": {"memory": "2Gi"}}},
        "pulsarv3": {"enabled": true, "bookkeeper": {"replicaCount": 3, "volumes": {"journal": {"size": "100Gi"}, "ledgers": {"size": "200Gi"}}}},
        "proxy": {"replicas": 2, "resources": {"requests": {"cpu": "1", "memory": "4Gi"}, "limits": {"memory": "4Gi"}}},
        "queryNode": {"replicas": number + 1, "resources": {"requests": {"cpu": "8", "memory": "64Gi"}, "limits": {"memory": "64Gi"}},
            "nodeSelector": {"pool": "vectors"}, "tolerations": [{"key": "dedicated", "operator": "Equal", "value": "vectors", "effect": "NoSchedule"}]},
        "dataNode": {"replicas": 2, "resources": {"requests": {"cpu": "2", "memory": "8Gi"}}},
        "indexNode": {"replicas": 2, "resources": {"requests": {"cpu": "8", "memory": "16Gi"}}},
        "mixCoordinator": {"replicas": 2, "activeStandby": {"enabled": true}},
        "metrics": {"enabled": true, "serviceMonitor": {"enabled": true, "interval": "30s"}},
        "extraConfigFiles": {"user.yaml": "common:\n  security:\n    authorizationEnabled: true\nquotaAndLimits:\n  enabled: true\n  limitWriting:\n    forceDeny: false\n"}
    });
    object
}

fn helm_release(name: &str, chart: &str, version: &str, namespace: &str) -> Value {
    let fields = json!({"f:spec": {".": {}, "f:chart": {"f:spec": {"f:chart": {}, "f:version": {}, "f:sourceRef": {"f:kind": {}, "f:name": {}}}}, "f:interval": {}, "f:values": {}}});
    json!({
        "apiVersion": "helm.toolkit.fluxcd.io/v2", "kind": "HelmRelease",
        "metadata": {"name": name, "namespace": namespace, "uid": "8e6b", "resourceVersion": "88126", "generation": 7, "creationTimestamp": "2026-01-05T08:00:00Z",
            "labels": {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}, "finalizers": ["finalizers.fluxcd.io"],
            "managedFields": [{"manager": "kustomize-controller", "operation": "Apply", "apiVersion": "helm.toolkit.fluxcd.io/v2", "time": "2026-01-05T08:00:00Z",
                "fieldsType": "FieldsV1", "fieldsV1": fields}]},
        "spec": {"interval": "10m", "releaseName": name, "chart": {"spec": {"chart": chart, "version": version, "interval": "1h",
                "sourceRef": {"kind": "HelmRepository", "name": "charts", "namespace": namespace}}},
            "install": {"crds": "Create", "remediation": {"retries": 3}}, "upgrade": {"crds": "CreateReplace", "remediation": {"retries": 3}}, "values": {}},
        "status": {"observedGeneration": 6, "lastAttemptedRevision": version, "conditions": [{"type": "Ready", "status": "True", "reason": "UpgradeSucceeded",
            "message": "Helm upgrade succeeded", "lastTransitionTime": "2026-01-05T08:03:00Z"}]}
    })
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
        let mut release = self.release.clone();
        let mut words = Words(0x2545_f491);
        // Grown by what is missing, which compresses about alike all over.
        let mut packed = pack(&release);
        while packed.len() < kib << 10 {
            let missing = (kib << 10) - packed.len();
            let text = words.text((missing / 3).max(2000));
            release["chart"]["templates"].as_array_mut().unwrap().push(json!({"name": "templates/more.yaml", "data": STANDARD.encode(text)}));
            packed = pack(&release);
        }
        let mut secret = self.secret.clone();
        secret["data"]["release"] = packed.into();
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

/// Objects without Milvus, by gate: a HelmRelease, an Argo CD Application, a Deployment with a label that a component would have, a ConfigMap.
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
    let deployment = |tag: &str| {
        let labels = json!({"app.kubernetes.io/name": "shop", "app.kubernetes.io/instance": "shop", "component": "proxy"});
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop-proxy", "namespace": namespace, "labels": labels, "generation": 4},
            "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": {"containers": [
                {"name": "proxy", "image": format!("nginx:{tag}"), "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}}, "ports": [{"containerPort": 8080}]}]}}}})
    };
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": namespace, "labels": {"owner": "helm"}},
        "data": {"settings.yaml": "a: b\n".repeat(200)}});
    let one = |object: &Value, before: Option<&Value>| Arc::new(vec![bytes(&review(object, before, namespace))]);
    [
        ("HelmRelease of another chart", "/gates/gitops", one(&after, Some(&before))),
        ("Application of another chart", "/gates/gitops", one(&application("2.0.0"), Some(&application("1.0.0")))),
        ("Deployment of another chart", "/gates/workload", one(&deployment("1.29"), Some(&deployment("1.28")))),
        ("ConfigMap that is no release", "/gates/helm-storage", one(&map, None)),
    ]
}

/// The text of `data.release` of a Secret.
fn pack(release: &Value) -> String {
    pack_text(&serde_json::to_vec(release).unwrap())
}

fn pack_text(text: &[u8]) -> String {
    // As hard as Helm packs.
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    STANDARD.encode(STANDARD.encode(encoder.finish().unwrap()))
}

/// Text that compresses about as templates do: lines of words, a fixed sequence.
struct Words(u64);

impl Words {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn text(&mut self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes + 64);
        while text.len() < bytes {
            let (indent, count) = (self.below(5), self.below(5) + 1);
            text.extend((0..indent * 2).map(|_| ' '));
            for _ in 0..count {
                let word = self.below(900) * 7919 + 104_729;
                text.push_str(&format!("{word:x} "));
            }
            text.push_str(":\n");
        }
        text
    }
}

#[cfg(test)]
mod tests {
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
