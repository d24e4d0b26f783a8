//! Upstream's migration tool: which versions it takes, and its configuration. Pure.
//!
//! Source: milvus-io/milvus, `cmd/tools/migration` (`migration/runner.go`, `migration/migrator.go`, `example.yaml`).

use milvus_guard::model::version::MilvusVersion;
use serde_json::{Value, json};

use super::etcd::Login;
use super::grpc::Address;
use super::location::Location;

/// Versions between which the tool migrates, as it wants them written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// What wrote the metadata.
    pub source: String,
    /// What will read it.
    pub target: String,
}

/// Why the tool cannot be used for two versions: it would fail with Milvus down, or do nothing and say that all is well.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    /// It leads from 2.1 to 2.2 only.
    #[error("the metadata migration leads from 2.1 to 2.2, not from {0} to {1}")]
    Versions(MilvusVersion, MilvusVersion),
    /// A pre-release sorts below its release: the tool would take 2.2.0-rc1 for a version of 2.1 and do nothing.
    #[error("the migration tool does not know what to do with the pre-release {0}; use a release")]
    PreRelease(MilvusVersion),
}

impl Pair {
    /// Checks two versions.
    ///
    /// # Errors
    /// When the tool cannot be used for them.
    pub fn new(from: MilvusVersion, to: MilvusVersion) -> Result<Self, Unsupported> {
        if from.line() != (2, 1) || to.line() != (2, 2) {
            return Err(Unsupported::Versions(from, to));
        }
        if let Some(early) = [from, to].into_iter().find(MilvusVersion::is_pre_release) {
            return Err(Unsupported::PreRelease(early));
        }
        // Without a suffix: of a hotfix, the tool would think as of a pre-release.
        let written = |version: MilvusVersion| format!("{}.{}.{}", version.major(), version.minor(), version.patch());
        Ok(Self { source: written(from), target: written(to) })
    }
}

/// How the tool reaches etcd.
#[derive(Debug)]
pub struct Reach<'r> {
    /// Where it listens.
    pub endpoints: &'r [Address],
    /// Who asks.
    pub login: Option<&'r Login>,
    /// Files of TLS in the tool's container, where etcd speaks that.
    pub tls: Option<Files<'r>>,
}

/// Files of TLS.
#[derive(Debug, Clone, Copy)]
pub struct Files<'r> {
    /// The authority's certificate.
    pub authority: &'r str,
    /// The client's certificate.
    pub certificate: &'r str,
    /// Its key.
    pub key: &'r str,
}

/// The tool's configuration for a migration. It holds the login, so that it belongs into memory only.
#[must_use]
pub fn configuration(pair: &Pair, location: &Location, reach: &Reach<'_>) -> Value {
    let endpoints: Vec<String> = reach.endpoints.iter().map(ToString::to_string).collect();
    let ssl = reach.tls.map_or_else(
        || json!({"enabled": false}),
        |files| json!({"enabled": true, "tlsCert": files.certificate, "tlsKey": files.key, "tlsCACert": files.authority, "tlsMinVersion": "1.2"}),
    );
    let auth = reach.login.map_or_else(|| json!({"enabled": false}), |login| json!({"enabled": true, "userName": login.name, "password": login.password}));
    json!({
        "cmd": {"type": "run", "runWithBackup": false},
        "config": {"sourceVersion": pair.source, "targetVersion": pair.target, "backupFilePath": "/nowhere"},
        "metastore": {"type": "etcd"},
        "etcd": {
            "endpoints": endpoints,
            "rootPath": location.root,
            "metaSubPath": location.meta,
            "kvSubPath": location.kv,
            "use": {"embed": false},
            "ssl": ssl,
            "auth": auth,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(from: &str, to: &str) -> Result<(String, String), Unsupported> {
        Pair::new(from.parse().unwrap(), to.parse().unwrap()).map(|pair| (pair.source, pair.target))
    }

    #[test]
    fn only_releases_of_2_1_and_2_2_are_taken() {
        assert_eq!(pair("2.1.4", "2.2.16"), Ok(("2.1.4".into(), "2.2.16".into())));
        assert_eq!(pair("2.1.0", "2.2.0-hotfix"), Ok(("2.1.0".into(), "2.2.0".into())));
        for (from, to) in [("2.0.2", "2.2.16"), ("2.1.4", "2.3.0"), ("2.2.0", "2.2.16"), ("2.1.4", "2.1.5"), ("2.1.4", "2.6.15")] {
            assert!(matches!(pair(from, to), Err(Unsupported::Versions(..))), "{from} {to}");
        }
        for (from, to) in [("2.1.4", "2.2.0-rc1"), ("2.1.4", "2.2.3-beta"), ("2.1.0-rc1", "2.2.16")] {
            assert!(matches!(pair(from, to), Err(Unsupported::PreRelease(_))), "{from} {to}");
        }
    }

    #[test]
    fn the_configuration_says_what_upstreams_says() {
        let location = Location::new("by-dev", "meta", "kv").unwrap();
        let endpoints = [Address { host: "m-etcd".into(), port: 2379 }];
        let pair = Pair::new("2.1.4".parse().unwrap(), "2.2.16".parse().unwrap()).unwrap();
        let login = Login { name: "root".into(), password: "p".into() };
        let plain = configuration(&pair, &location, &Reach { endpoints: &endpoints, login: None, tls: None });
        assert_eq!(
            (&plain["cmd"]["type"], &plain["config"]["sourceVersion"], &plain["etcd"]["endpoints"][0]),
            (&json!("run"), &json!("2.1.4"), &json!("m-etcd:2379"))
        );
        assert_eq!((&plain["etcd"]["ssl"]["enabled"], &plain["etcd"]["auth"]["enabled"]), (&json!(false), &json!(false)));
        let files = Files { authority: "/c/ca.crt", certificate: "/c/tls.crt", key: "/c/tls.key" };
        let guarded = configuration(&pair, &location, &Reach { endpoints: &endpoints, login: Some(&login), tls: Some(files) });
        assert_eq!((&guarded["etcd"]["ssl"]["tlsCACert"], &guarded["etcd"]["auth"]["userName"]), (&json!("/c/ca.crt"), &json!("root")));
    }
}
