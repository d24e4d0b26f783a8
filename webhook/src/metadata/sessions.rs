//! Sessions: keys that components of Milvus keep alive in etcd as long as they run. Pure: from keys and values.

use milvus_guard::model::version::MilvusVersion;
use milvus_guard::rollout::component::Component;
use milvus_guard::rollout::observed::{self, Moment};
use serde::Deserialize;

use super::etcd::Entry;

/// Where they are, below root path and meta path.
pub const PREFIX: &str = "session/";

/// What the migration tool, and our restore, hold while they write.
pub const MIGRATION: &str = "session/migration";

/// Not a session: the counter of server ids.
const COUNTER: &str = "id";

/// The key of a migration, below [`PREFIX`].
const MIGRATION_NAME: &str = "migration";

/// A session as etcd has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose.
    pub role: Role,
    /// It is the one that serves, not a standby.
    pub is_active: bool,
    /// The version that its holder tells; 2.1 tells none.
    pub version: Option<MilvusVersion>,
    /// `host:port` of its holder.
    pub address: Option<String>,
    /// The name of its holder's host: its pod's name. Later versions tell it.
    pub host_name: Option<String>,
    /// It ends by itself once its holder is gone.
    pub is_leased: bool,
    /// Its key.
    pub key: String,
}

/// Whose a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// A component's.
    Component(Component),
    /// Of a migration that runs, or was killed less than a minute ago.
    Migration,
    /// Of something that is not known here.
    Other(String),
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Value {
    address: Option<String>,
    host_name: Option<String>,
    version: Option<String>,
}

impl Session {
    /// Reads a key below the prefix of sessions; nothing for what is none.
    #[must_use]
    pub fn read(prefix: &[u8], entry: &Entry) -> Option<Self> {
        let name = String::from_utf8_lossy(entry.key.strip_prefix(prefix)?).into_owned();
        if name == COUNTER {
            return None;
        }
        let (role, number) = name.split_once('-').map_or((name.as_str(), None), |(role, number)| (role, Some(number)));
        let component = Component::named(role);
        let value: Value = serde_json::from_slice(&entry.value).unwrap_or_default();
        Some(Self {
            // A coordinator that serves has the key without a number; a node has one of its own.
            is_active: number.is_none() || component.is_some_and(|component| !component.is_coordinator()),
            role: match component {
                Some(component) => Role::Component(component),
                None if name == MIGRATION_NAME => Role::Migration,
                None => Role::Other(role.chars().take(64).collect()),
            },
            version: value.version.and_then(|version| version.parse().ok()),
            address: value.address.filter(|address| !address.is_empty()),
            host_name: value.host_name.filter(|name| !name.is_empty()),
            is_leased: entry.lease != 0,
            key: String::from_utf8_lossy(&entry.key).into_owned(),
        })
    }

    /// Whether it belongs to a pod of this name or address.
    #[must_use]
    pub fn is_held_by(&self, pod: &str, address: Option<&str>) -> bool {
        let host = self.address.as_deref().and_then(|address| address.rsplit_once(':')).map(|(host, _)| host.trim_matches(['[', ']']));
        self.host_name.as_deref() == Some(pod) || host.is_some_and(|host| Some(host) == address || host == pod)
    }

    /// As decisions take it: `holder` is the component of the pod that holds it. Nothing for what is no component's.
    #[must_use]
    pub fn observed(&self, holder: Option<Component>, now: Moment) -> Option<observed::Session> {
        let Role::Component(role) = self.role else { return None };
        Some(observed::Session { role, is_active: self.is_active, version: self.version, holder, since: now, owner: self.owner().into() })
    }

    /// Whose it is, in words.
    #[must_use]
    pub fn owner(&self) -> String {
        let role = match &self.role {
            Role::Component(component) => component.name(),
            Role::Migration => "a migration",
            Role::Other(name) => name,
        };
        let held_by = self.host_name.as_ref().or(self.address.as_ref()).map_or(String::new(), |holder| format!(" of {holder}"));
        let end = if self.is_leased { "" } else { ", which has no lease and does not end by itself" };
        format!("{role}{held_by} (key {}){end}", self.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, value: &str, lease: i64) -> Option<Session> {
        let key = format!("by-dev/meta/session/{name}").into_bytes();
        Session::read(b"by-dev/meta/session/", &Entry { key, value: value.as_bytes().to_vec(), written_at: 1, lease })
    }

    #[test]
    fn roles_versions_and_holders_are_read() {
        let earlier =
            read("rootcoord", r#"{"ServerID":3,"ServerName":"rootcoord","Address":"10.0.0.7:53100","Exclusive":true,"TriggerKill":true}"#, 9).unwrap();
        assert_eq!((earlier.role.clone(), earlier.is_active, earlier.version), (Role::Component(Component::RootCoord), true, None));
        assert!(earlier.is_held_by("m-milvus-rootcoord-1", Some("10.0.0.7")) && !earlier.is_held_by("m-milvus-rootcoord-1", Some("10.0.0.70")));
        assert_eq!(earlier.owner(), "rootcoord of 10.0.0.7:53100 (key by-dev/meta/session/rootcoord)");
        let standby = read("mixcoord-12", r#"{"Version":"2.5.16","HostName":"m-milvus-mixcoord-1","Address":"[fd00::1]:53100"}"#, 9).unwrap();
        assert_eq!((standby.is_active, standby.version), (false, Some(MilvusVersion::new(2, 5, 16))));
        assert!(standby.is_held_by("m-milvus-mixcoord-1", None) && standby.is_held_by("x", Some("fd00::1")));
        assert!(read("querynode-4", "{}", 9).unwrap().is_active);
    }

    #[test]
    fn the_counter_is_no_session_and_what_is_not_known_is_told() {
        assert_eq!(read("id", "17", 0), None);
        let migration = read("migration", "", 9).unwrap();
        assert_eq!((migration.role.clone(), migration.observed(None, Moment(1))), (Role::Migration, None));
        let other = read("birdwatcher-1", "not JSON", 0).unwrap();
        assert_eq!(other.owner(), "birdwatcher (key by-dev/meta/session/birdwatcher-1), which has no lease and does not end by itself");
        assert_eq!(read("proxy-1", "", 9).unwrap().observed(Some(Component::Proxy), Moment(5)).unwrap().since, Moment(5));
    }
}
