//! Arguments of `milvus-guard webhook`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use milvus_guard_webhook::admission::DoubtPolicy;
use milvus_guard_webhook::admission::exceptions::Mode;
use milvus_guard_webhook::admission::guard::Configuration;
use milvus_guard_webhook::server::Limits;
use milvus_guard_webhook::server::certificates::authority::Lifetimes;
use milvus_guard_webhook::server::logs::Format;
use milvus_guard_webhook::server::tls::Floor;

/// Arguments of `webhook`.
#[derive(Debug, Args)]
pub(crate) struct Webhook {
    /// Where reviews are answered, over TLS
    #[arg(long, default_value = "[::]:9443", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Where /healthz, /readyz and /metrics are answered, in plain HTTP
    #[arg(long, default_value = "[::]:9444", value_name = "ADDRESS")]
    pub health_listen: SocketAddr,
    /// The mode of namespaces without the label guard.milvus-guard.dev/mode
    #[arg(long, default_value = "enforce", value_name = "MODE")]
    pub mode: DefaultMode,
    /// The user that our own controller acts as
    #[arg(long, default_value = "system:serviceaccount:milvus-guard:milvus-guard", value_name = "USER")]
    pub controller: String,
    /// What gate 1 does with a release that it cannot judge
    #[arg(long, default_value = "admit", value_name = "POLICY")]
    pub helm_doubt: HelmDoubt,
    /// From SIGTERM to the end of listening: time for the endpoints to be taken off
    #[arg(long, default_value = "5s", value_parser = duration, value_name = "TIME")]
    pub drain_delay: Duration,
    /// The longest that requests in flight are waited for after that
    #[arg(long, default_value = "15s", value_parser = duration, value_name = "TIME")]
    pub drain_time: Duration,
    /// How a log line looks
    #[arg(long, default_value = "json", value_name = "FORMAT")]
    pub log_format: LogFormat,
    /// What is logged: reviews that are refused, held, changed or warned about from info on, all others from debug on
    #[arg(long, default_value = "info", value_name = "LEVEL", value_parser = ["error", "warn", "info", "debug", "trace"])]
    pub log_level: String,
    /// Store every review here, with secret values replaced by hashes that keep equality
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    // A heading holds for all that comes after it.
    #[command(flatten)]
    pub certificates: Certificates,
    #[command(flatten)]
    pub registration: Registration,
    #[command(flatten)]
    pub bounds: Bounds,
}

impl Webhook {
    /// What the gates are told.
    pub(crate) fn configuration(&self) -> Configuration {
        Configuration { mode: self.mode.into(), controller: self.controller.clone() }
    }
}

/// Where the certificate comes from, and who may connect.
#[derive(Debug, Args)]
#[command(next_help_heading = "Certificates")]
pub(crate) struct Certificates {
    /// Serve the certificate in this folder (tls.crt, tls.key, ca.crt), and follow its changes; this or --certificate-secret is needed
    #[arg(long = "certificates", value_name = "DIR", required_unless_present = "certificate_secret", conflicts_with = "certificate_secret")]
    pub folder: Option<PathBuf>,
    /// Make certificates, and share them with the other replicas in this Secret
    #[arg(long, value_name = "NAME", requires = "names")]
    pub certificate_secret: Option<String>,
    /// Our namespace; default: that of the service account
    #[arg(long, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// Names and addresses that certificates of our own are made for
    #[arg(long = "dns-name", id = "names", value_name = "NAME", value_delimiter = ',')]
    pub names: Vec<String>,
    /// How long an authority of our own lasts
    #[arg(long, default_value = "730d", value_parser = duration, value_name = "TIME")]
    pub authority_lifetime: Duration,
    /// How long a serving certificate of our own lasts
    #[arg(long, default_value = "90d", value_parser = duration, value_name = "TIME")]
    pub certificate_lifetime: Duration,
    /// How long two authorities are trusted while one takes over from the other
    #[arg(long, default_value = "1h", value_parser = duration, value_name = "TIME")]
    pub overlap: Duration,
    /// How often the folder or the Secret is read
    #[arg(long, default_value = "15s", value_parser = duration, value_name = "TIME")]
    pub certificate_poll: Duration,
    /// The lowest TLS version
    #[arg(long, default_value = "1.3", value_name = "VERSION")]
    pub tls_min: TlsMin,
    /// Let in only clients whose certificate is signed by one of these (PEM)
    #[arg(long, value_name = "FILE")]
    pub client_ca: Option<PathBuf>,
    /// ... and that carry one of these names
    #[arg(long, value_name = "NAME", requires = "client_ca", value_delimiter = ',')]
    pub client_name: Vec<String>,
}

impl Certificates {
    /// How long certificates of our own last.
    pub(crate) fn lifetimes(&self) -> Lifetimes {
        Lifetimes { authority: seconds(self.authority_lifetime), serving: seconds(self.certificate_lifetime), overlap: seconds(self.overlap) }
    }
}

/// What is registered at the API server.
#[derive(Debug, Args)]
#[command(next_help_heading = "Registration")]
pub(crate) struct Registration {
    /// Put these webhook configurations into force once a replica answers (YAML)
    #[arg(long = "registration", value_name = "FILE", requires = "reached_at")]
    pub file: Option<PathBuf>,
    /// Where the API server reaches us: asked before anything is registered
    #[arg(long, value_name = "URL")]
    pub reached_at: Option<String>,
    /// Register that address itself in place of a service
    #[arg(long, requires = "reached_at")]
    pub register_url: bool,
    /// How often the registration is looked at
    #[arg(long, default_value = "15s", value_parser = duration, value_name = "TIME")]
    pub registration_poll: Duration,
}

/// What requests may cost.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct Bounds {
    /// From the whole body to the answer; well below timeoutSeconds of the registration
    #[arg(long, default_value = "4s", value_parser = duration, value_name = "TIME")]
    pub budget: Duration,
    /// Requests judged at the same time
    #[arg(long, default_value_t = Limits::default().in_flight, value_name = "COUNT")]
    pub max_in_flight: usize,
    /// Mebibytes of bodies in memory at the same time
    #[arg(long, default_value_t = Limits::default().in_flight_bytes >> 20, value_name = "MIB")]
    pub max_in_flight_mib: usize,
}

impl Bounds {
    /// As the server takes them.
    pub(crate) fn limits(&self) -> Limits {
        Limits { budget: self.budget, in_flight: self.max_in_flight.max(1), in_flight_bytes: self.max_in_flight_mib << 20, ..Limits::default() }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum HelmDoubt {
    Admit,
    Refuse,
}

impl From<HelmDoubt> for DoubtPolicy {
    fn from(doubt: HelmDoubt) -> Self {
        match doubt {
            HelmDoubt::Admit => Self::Admit,
            HelmDoubt::Refuse => Self::Refuse,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum DefaultMode {
    Enforce,
    Warn,
    Audit,
}

impl From<DefaultMode> for Mode {
    fn from(mode: DefaultMode) -> Self {
        match mode {
            DefaultMode::Enforce => Self::Enforce,
            DefaultMode::Warn => Self::Warn,
            DefaultMode::Audit => Self::Audit,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl From<LogFormat> for Format {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum TlsMin {
    #[value(name = "1.2")]
    Tls12,
    #[value(name = "1.3")]
    Tls13,
}

impl From<TlsMin> for Floor {
    fn from(floor: TlsMin) -> Self {
        match floor {
            TlsMin::Tls12 => Self::Tls12,
            TlsMin::Tls13 => Self::Tls13,
        }
    }
}

fn seconds(time: Duration) -> i64 {
    i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
}

/// `250ms`, `10s`, `5m`, `2h`, `90d`.
fn duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let wrong = || format!("`{text}` is no time; write 250ms, 10s, 5m, 2h or 90d");
    let number: u32 = number.parse().map_err(|_| wrong())?;
    match unit {
        "ms" => Ok(Duration::from_millis(u64::from(number))),
        "s" => Ok(Duration::from_secs(u64::from(number))),
        "m" => Ok(Duration::from_secs(60) * number),
        "h" => Ok(Duration::from_secs(3600) * number),
        "d" => Ok(Duration::from_secs(86_400) * number),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("90d"), Ok(Duration::from_secs(90 * 86_400)));
        for wrong in ["", "5", "s", "5 s", "5w", "-1s", "99999999999s", "5é"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
