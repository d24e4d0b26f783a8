//! What the load and the benchmark of reviews have in common: a review as the API server sends it, a HelmRelease of Milvus, and what a release of Helm looks like packed.

use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

/// A review of an object that is created, or changed from `before`.
pub(super) fn review(object: &Value, before: Option<&Value>, namespace: &str) -> Value {
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

/// A HelmRelease of some size; each number is another count of query nodes.
pub(super) fn milvus_release(number: u64, tag: &str, namespace: &str) -> Value {
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

/// A HelmRelease without values.
pub(super) fn helm_release(name: &str, chart: &str, version: &str, namespace: &str) -> Value {
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

/// The text of `data.release` of a Secret.
pub(super) fn pack(release: &Value) -> String {
    pack_text(&serde_json::to_vec(release).unwrap())
}

/// As hard as Helm packs.
pub(super) fn pack_text(text: &[u8]) -> String {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(text).unwrap();
    STANDARD.encode(STANDARD.encode(encoder.finish().unwrap()))
}

/// The text of `data.release` of a Secret, grown to `kib` KiB at least by templates that the chart of the release has in addition.
pub(super) fn packed_to(release: &mut Value, kib: usize) -> String {
    let mut words = Words(0x2545_f491);
    // Grown by what is missing, which compresses about alike all over.
    let mut packed = pack(release);
    while packed.len() < kib << 10 {
        let missing = (kib << 10) - packed.len();
        let text = words.text((missing / 3).max(2000));
        release["chart"]["templates"].as_array_mut().unwrap().push(json!({"name": "templates/more.yaml", "data": STANDARD.encode(text)}));
        packed = pack(release);
    }
    packed
}

/// Text that compresses about as templates do: lines of words, a fixed sequence.
pub(super) struct Words(pub(super) u64);

impl Words {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    pub(super) fn text(&mut self, bytes: usize) -> String {
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
