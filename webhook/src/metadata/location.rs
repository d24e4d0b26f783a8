//! Where metadata lies, and how its etcd is reached: from the configuration that Milvus mounts. Pure.

use milvus_guard::source::configuration::Rendered;

use super::grpc::Address;

/// etcd's port, where none is written.
const PORT: u16 = 2379;

/// Paths of metadata in etcd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// `etcd.rootPath`.
    pub root: String,
    /// `etcd.metaSubPath`: metadata lies below it.
    pub meta: String,
    /// `etcd.kvSubPath`: counters of ids and time stamps lie below it. They are neither backed up nor put back, since they must never go backwards.
    pub kv: String,
}

impl Location {
    /// Checks that the paths name a part of etcd.
    ///
    /// # Errors
    /// When one could mean everything, or is not written as Milvus writes it.
    pub fn new(root: &str, meta: &str, kv: &str) -> Result<Self, Unclear> {
        let is_sound = |path: &str| path.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
        match [("root path", root), ("meta path", meta), ("kv path", kv)].into_iter().find(|(_, path)| !is_sound(path)) {
            Some((what, path)) => Err(Unclear::Path(what, path.to_owned())),
            None => Ok(Self { root: root.into(), meta: meta.into(), kv: kv.into() }),
        }
    }

    /// The key of something below the meta path. With an empty text, the prefix of all metadata.
    #[must_use]
    pub fn key(&self, below: &str) -> String {
        format!("{}/{}/{below}", self.root, self.meta)
    }
}

/// What a configuration says of etcd. Credentials are not among it: they come from a Secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Configured {
    /// Where metadata lies.
    pub location: Location,
    /// Where etcd listens.
    pub endpoints: Vec<Address>,
    /// It speaks TLS.
    pub has_tls: bool,
    /// It wants to know who asks.
    pub wants_login: bool,
}

/// Why it is not clear where metadata lies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// It is not in etcd.
    #[error("metadata is kept in {0}, and a migration is only known for etcd")]
    Store(String),
    /// etcd is a part of Milvus, and stops with it.
    #[error("etcd runs inside of Milvus (etcd.use.embed), so that it stops with it: migrate by hand")]
    Embedded,
    /// No endpoint.
    #[error("the configuration names no endpoint of etcd")]
    NoEndpoint,
    /// An endpoint that is none.
    #[error("`{0}` is no endpoint of etcd")]
    Endpoint(String),
    /// A path that could mean everything.
    #[error("`{1}` is no {0} of metadata")]
    Path(&'static str, String),
}

/// Reads the files of a configuration, lowest first. Short names of services are those of `namespace`, where one is given.
///
/// # Errors
/// When it is not clear where metadata lies.
pub fn read<'t>(texts: impl IntoIterator<Item = &'t str>, namespace: Option<&str>) -> Result<Configured, Unclear> {
    let rendered = Rendered::read(texts);
    let is_on = |path: &str| rendered.get(path).is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let get = |path: &str, default: &str| rendered.get(path).map_or_else(|| default.to_owned(), |value| value.to_string());
    let store = get("metastore.type", "etcd");
    if store != "etcd" {
        return Err(Unclear::Store(store));
    }
    if is_on("etcd.use.embed") {
        return Err(Unclear::Embedded);
    }
    let written = get("etcd.endpoints", "");
    let endpoints: Vec<Address> =
        written.split(',').map(str::trim).filter(|text| !text.is_empty()).map(|text| endpoint(text, namespace)).collect::<Result<_, _>>()?;
    if endpoints.is_empty() {
        return Err(Unclear::NoEndpoint);
    }
    Ok(Configured {
        location: Location::new(&get("etcd.rootPath", "by-dev"), &get("etcd.metaSubPath", "meta"), &get("etcd.kvSubPath", "kv"))?,
        endpoints,
        has_tls: is_on("etcd.ssl.enabled") || written.contains("https://"),
        wants_login: is_on("etcd.auth.enabled"),
    })
}

/// Reads `host:port`, with or without a scheme.
///
/// # Errors
/// When it is none.
pub fn endpoint(text: &str, namespace: Option<&str>) -> Result<Address, Unclear> {
    let bare = text.split_once("://").map_or(text, |(_, bare)| bare).trim_end_matches('/');
    let (host, port) = match bare.rsplit_once(':') {
        // An address of IPv6 without a port.
        Some((_, after)) if after.ends_with(']') => (bare, Ok(PORT)),
        Some((host, port)) => (host, port.parse()),
        None => (bare, Ok(PORT)),
    };
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_host = !host.is_empty() && host.len() <= 253 && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte));
    match (port, namespace) {
        (Ok(port), Some(namespace)) if is_host && !host.contains(['.', ':']) && host != "localhost" => {
            Ok(Address { host: format!("{host}.{namespace}.svc"), port })
        }
        (Ok(port), _) if is_host => Ok(Address { host: host.to_owned(), port }),
        // What stands before an @ may be a password.
        _ => Err(Unclear::Endpoint(text.rsplit('@').next().unwrap_or_default().chars().take(100).collect())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> String {
        endpoint(text, Some("db")).map_or_else(|unclear| unclear.to_string(), |address| address.to_string())
    }

    #[test]
    fn endpoints_are_read_and_short_names_are_those_of_the_release() {
        assert_eq!(written("m-etcd:2379"), "m-etcd.db.svc:2379");
        assert_eq!(written("http://m-etcd"), "m-etcd.db.svc:2379");
        assert_eq!(written("https://etcd.other:4001/"), "etcd.other:4001");
        assert_eq!(
            (written("127.0.0.1:1"), written("[fd00::1]:9"), written("[fd00::1]")),
            ("127.0.0.1:1".into(), "[fd00::1]:9".into(), "[fd00::1]:2379".into())
        );
        assert_eq!(written("localhost:2379"), "localhost:2379");
        for none in ["", ":2379", "a b:1", "m-etcd:99999", "user:pass@host:1", "m-etcd:"] {
            assert!(written(none).ends_with("is no endpoint of etcd"), "{none}");
        }
    }

    #[test]
    fn the_users_file_counts_over_the_charts() {
        let chart = "etcd:\n  endpoints:\n    - m-etcd:2379\n  rootPath: m\n  metaSubPath: meta\n  kvSubPath: kv\n";
        let configured =
            read([chart, "etcd:\n  rootPath: other\n  ssl: {enabled: true}\n  auth: {enabled: true, userName: root, password: secret}\n"], None).unwrap();
        assert_eq!(configured.location.key("session/"), "other/meta/session/");
        assert!(configured.has_tls && configured.wants_login);
        assert!(!format!("{configured:?}").contains("secret"));
        let configured = read(["etcd: {endpoints: ['b:1', 'a:2']}\n"], Some("db")).unwrap();
        assert_eq!((configured.location.key(""), configured.has_tls, configured.wants_login), ("by-dev/meta/".into(), false, false));
        assert_eq!(configured.endpoints.len(), 2);
    }

    #[test]
    fn what_is_not_clear_is_told() {
        assert_eq!(read(["metastore: {type: mysql}\netcd: {endpoints: [a]}\n"], None), Err(Unclear::Store("mysql".into())));
        assert_eq!(read(["etcd: {endpoints: [a], use: {embed: true}}\n"], None), Err(Unclear::Embedded));
        assert_eq!(read(["{{ broken"], None), Err(Unclear::NoEndpoint));
        for root in ["/", "/by-dev", "by-dev/", "a//b", "..", "."] {
            let text = format!("etcd: {{endpoints: [a], rootPath: '{root}'}}\n");
            assert_eq!(read([text.as_str()], None), Err(Unclear::Path("root path", root.into())));
        }
        assert!(Location::new("", "meta", "kv").is_err() && Location::new("tenants/a", "meta", "kv").is_ok());
    }
}
