//! Which API server commands talk to, in words: where it is, and which kubeconfig and context say so. Without credentials.

use std::time::Duration;

use http::Uri;
use kube::Client;
use kube::config::{Config, Kubeconfig};

use super::cluster::{is_unanswered, why};

/// How long one answer may take where somebody only looks, and the first one to whoever acts.
pub(super) const LOOK: Duration = Duration::from_secs(10);

/// What to do about an API server that does not answer.
const NEXT: &str = "See that this is the cluster that you mean (kubectl config get-contexts), and that it can be reached from here: kubectl cluster-info";

/// An API server: `https://10.0.0.1:6443 (context prod of kubeconfig /home/ada/.kube/config)`.
#[derive(Debug, Clone)]
pub(super) struct Server(String);

impl Server {
    /// That of a configuration which was inferred.
    #[allow(clippy::disallowed_methods, reason = "the library that reads the kubeconfig asks this variable, and does not tell what it found")]
    pub(super) fn of(config: &Config) -> Self {
        let kubeconfig = Kubeconfig::read().ok();
        let context = kubeconfig.as_ref().and_then(|kubeconfig| kubeconfig.current_context.as_deref());
        let files = std::env::var("KUBECONFIG").ok().filter(|files| !files.is_empty()).unwrap_or_else(|| "~/.kube/config".to_owned());
        Self::named(&config.cluster_url, config.proxy_url.as_ref(), context.map(|context| (context, files.as_str())))
    }

    /// `named_by`: the context, and the kubeconfig that has it; nothing within a pod.
    fn named(url: &Uri, proxy: Option<&Uri>, named_by: Option<(&str, &str)>) -> Self {
        let proxy = proxy.map_or_else(String::new, |proxy| format!(" by the proxy {}", without_user(proxy)));
        let source =
            named_by.map_or_else(|| "as this pod's service account is told".to_owned(), |(context, files)| format!("context {context} of kubeconfig {files}"));
        Self(format!("{}{proxy} ({source})", without_user(url)))
    }

    /// That it does not answer, and what to do; nothing for an error that is an answer.
    pub(super) fn silent(&self, error: &kube::Error) -> Option<String> {
        is_unanswered(error).then(|| self.words(&why(error)))
    }

    /// What to say of a question that failed.
    pub(super) fn failed(&self, error: &kube::Error) -> anyhow::Error {
        self.silent(error).map_or_else(|| anyhow::anyhow!("{}", why(error)), |silent| anyhow::anyhow!("{silent}. {NEXT}"))
    }

    /// Asks it for its version, as long as that may take.
    pub(super) async fn must_answer(&self, client: &Client, within: Duration) -> anyhow::Result<()> {
        let silent = match tokio::time::timeout(within, client.apiserver_version()).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => self.silent(&error),
            Err(_) => Some(self.words(&format!("nothing came within {} seconds", within.as_secs()))),
        };
        silent.map_or(Ok(()), |silent| Err(anyhow::anyhow!("{silent}. {NEXT}")))
    }

    fn words(&self, why: &str) -> String {
        format!("the API server {} does not answer: {why}", self.0)
    }
}

/// An address without what proves who asks.
fn without_user(url: &Uri) -> String {
    let port = url.port_u16().map_or_else(String::new, |port| format!(":{port}"));
    format!("{}://{}{port}{}", url.scheme_str().unwrap_or("https"), url.host().unwrap_or_default(), url.path().trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> Server {
        Server::named(&url.parse().unwrap(), None, Some(("prod", "/home/ada/.kube/config")))
    }

    async fn refused(url: &str) -> String {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::try_from(Config::new(url.parse().unwrap())).unwrap();
        server(url).must_answer(&client, Duration::from_millis(300)).await.unwrap_err().to_string()
    }

    #[tokio::test]
    async fn an_api_server_that_does_not_answer_is_named_without_credentials() {
        let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        for (address, why) in [(closed, "refused"), (silent.local_addr().unwrap(), "nothing came within")] {
            let told = refused(&format!("http://ada:hunter2@{address}/clusters/c1/")).await;
            let named = format!("the API server http://{address}/clusters/c1 (context prod of kubeconfig /home/ada/.kube/config) does not answer: ");
            assert!(told.starts_with(&named) && told.contains(why) && told.ends_with("kubectl cluster-info"), "{told}");
            assert!(!told.contains("hunter2") && !told.contains("ada:"), "{told}");
        }
    }

    #[test]
    fn a_proxy_and_a_pod_are_told() {
        let proxy = "http://ada:hunter2@proxy:3128".parse().unwrap();
        let told = Server::named(&"https://[::1]:6443".parse().unwrap(), Some(&proxy), None).0;
        assert_eq!(told, "https://[::1]:6443 by the proxy http://proxy:3128 (as this pod's service account is told)");
    }
}
