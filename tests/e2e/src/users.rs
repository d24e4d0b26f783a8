//! Named users of a control plane: client certificates, service account tokens, kubeconfig files, roles.

use std::path::{Path, PathBuf};
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;

/// Somebody who talks to the API server.
#[derive(Clone)]
pub struct User {
    /// The name that the API server sees.
    pub name: String,
    /// A kubeconfig file, for programs.
    pub kubeconfig: PathBuf,
    /// A client, for code.
    pub client: Client,
}

/// What a kubeconfig says about who asks.
#[derive(Debug)]
pub enum Identity<'a> {
    /// A client certificate and its key, as files.
    Certificate(&'a Path, &'a Path),
    /// A bearer token.
    Token(&'a str),
}

/// The text of a kubeconfig file.
pub fn kubeconfig(server: &str, authority: &Path, identity: &Identity<'_>, namespace: &str) -> String {
    let user = match identity {
        Identity::Certificate(certificate, key) => json!({"client-certificate": certificate, "client-key": key}),
        Identity::Token(token) => json!({"token": token}),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": authority}}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "user", "namespace": namespace}}],
        "current-context": "test",
    })
    .to_string()
}

/// A client for a kubeconfig file. It belongs to the runtime in which it is made.
pub async fn client(kubeconfig: &Path) -> Client {
    let config = Kubeconfig::read_from(kubeconfig).unwrap();
    let mut config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    config.read_timeout = None;
    Client::try_from(config).unwrap()
}

impl ControlPlane {
    /// A user with a client certificate, whose commands work in `namespace` unless told otherwise. Has no rights yet: see [`ControlPlane::bind`].
    pub async fn user(&self, name: &str, group: Option<&str>, namespace: &str) -> User {
        let file = format!("user-{}-{namespace}", name.replace([':', '/'], "-"));
        let (certificate, key) = self.authority().client(name, group).write(self.folder(), &file);
        self.user_of(name, &file, &Identity::Certificate(&certificate, &key), namespace).await
    }

    /// A service account, made where it is missing, with a token of an hour.
    pub async fn service_account(&self, namespace: &str, name: &str) -> User {
        let admin = self.admin().await.client;
        let accounts: Api<ServiceAccount> = Api::namespaced(admin, namespace);
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        if accounts.get_opt(name).await.unwrap().is_none() {
            accounts.create(&PostParams::default(), &serde_json::from_value(account).unwrap()).await.unwrap();
        }
        let request = TokenRequest {
            spec: TokenRequestSpec { audiences: Vec::new(), expiration_seconds: Some(3600), bound_object_ref: None },
            ..TokenRequest::default()
        };
        let token = accounts.create_token_request(name, &PostParams::default(), &request).await.unwrap().status.unwrap().token;
        let full = format!("system:serviceaccount:{namespace}:{name}");
        self.user_of(&full, &format!("service-account-{namespace}-{name}"), &Identity::Token(&token), namespace).await
    }

    /// A member of `system:masters`, for setting things up.
    pub async fn admin(&self) -> User {
        let kubeconfig = self.admin_kubeconfig();
        User { name: "admin".to_owned(), client: client(&kubeconfig).await, kubeconfig }
    }

    async fn user_of(&self, name: &str, file: &str, identity: &Identity<'_>, namespace: &str) -> User {
        let path = self.folder().join(format!("{file}.kubeconfig"));
        std::fs::write(&path, kubeconfig(&self.server(), &self.authority_file(), identity, namespace)).unwrap();
        User { name: name.to_owned(), client: client(&path).await, kubeconfig: path }
    }

    /// Gives a user a ClusterRole in one namespace, and waits until the API server knows.
    pub async fn bind(&self, user: &User, cluster_role: &str, namespace: &str) {
        let admin = self.admin().await.client;
        let bindings: Api<RoleBinding> = Api::namespaced(admin.clone(), namespace);
        let binding = binding("RoleBinding", user, cluster_role, namespace);
        bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
        self.wait_for_rights(&admin, user, cluster_role, Some(namespace)).await;
    }

    /// Gives a user a ClusterRole everywhere, and waits until the API server knows.
    pub async fn bind_everywhere(&self, user: &User, cluster_role: &str) {
        let admin = self.admin().await.client;
        let bindings: Api<ClusterRoleBinding> = Api::all(admin.clone());
        let binding = binding("ClusterRoleBinding", user, cluster_role, "everywhere");
        bindings.create(&PostParams::default(), &serde_json::from_value(binding).unwrap()).await.unwrap();
        self.wait_for_rights(&admin, user, cluster_role, None).await;
    }

    /// Makes a ClusterRole of rules as RBAC has them: `[{"apiGroups": [...], "resources": [...], "verbs": [...]}]`.
    pub async fn cluster_role(&self, name: &str, rules: Value) {
        let roles: Api<ClusterRole> = Api::all(self.admin().await.client);
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules});
        roles.create(&PostParams::default(), &serde_json::from_value(role).unwrap()).await.unwrap();
    }

    /// The API server learns of roles a moment after they are stored.
    async fn wait_for_rights(&self, admin: &Client, user: &User, cluster_role: &str, namespace: Option<&str>) {
        let roles: Api<ClusterRole> = Api::all(admin.clone());
        let role = roles.get(cluster_role).await.unwrap();
        let rules = role.rules.unwrap_or_default();
        let Some(rule) = rules.iter().find(|rule| rule.resources.as_ref().is_some_and(|resources| !resources.is_empty()) && rule.resource_names.is_none())
        else {
            return;
        };
        let resource = &rule.resources.as_ref().unwrap()[0];
        let (resource, subresource) = resource.split_once('/').map_or((resource.as_str(), None), |(resource, sub)| (resource, Some(sub.to_owned())));
        let wanted = ResourceAttributes {
            group: rule.api_groups.as_ref().and_then(|groups| groups.first().cloned()),
            resource: Some(resource.to_owned()),
            subresource,
            verb: rule.verbs.first().cloned(),
            namespace: namespace.map(str::to_owned),
            ..ResourceAttributes::default()
        };
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec { user: Some(user.name.clone()), resource_attributes: Some(wanted), ..SubjectAccessReviewSpec::default() },
            ..SubjectAccessReview::default()
        };
        let reviews: Api<SubjectAccessReview> = Api::all(admin.clone());
        for _ in 0..500 {
            if reviews.create(&PostParams::default(), &review).await.unwrap().status.is_some_and(|status| status.allowed) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{} did not get the rights of {cluster_role}", user.name);
    }
}

fn binding(kind: &str, user: &User, cluster_role: &str, place: &str) -> Value {
    let subject = match user.name.strip_prefix("system:serviceaccount:").and_then(|full| full.split_once(':')) {
        Some((namespace, name)) => json!({"kind": "ServiceAccount", "name": name, "namespace": namespace}),
        None => json!({"kind": "User", "name": user.name, "apiGroup": "rbac.authorization.k8s.io"}),
    };
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": kind,
        "metadata": {"name": format!("{}-{cluster_role}-{place}", user.name.replace(':', "-"))},
        "subjects": [subject],
        "roleRef": {"kind": "ClusterRole", "name": cluster_role, "apiGroup": "rbac.authorization.k8s.io"},
    })
}
